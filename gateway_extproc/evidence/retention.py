"""Deletes texts whose time is over, file by file: a file's name says its last day."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

NAME: Final = re.compile(r"texts-\d+-(\d{8})\.jsonl")


def remove_expired(folder: Path, now_s: float) -> list[str]:
    """Deletes the files of days that are over (UTC); their names.

    Raises OSError for a file that cannot be deleted, after it tried all of them.
    """
    today = f"{datetime.fromtimestamp(now_s, UTC):%Y%m%d}"
    removed: list[str] = []
    failed: OSError | None = None
    for path in sorted(folder.glob("texts-*.jsonl")):
        match = NAME.fullmatch(path.name)
        if match is None or match[1] >= today:
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failed = error
            continue
        log.info("%s is deleted: its retention is over", path.name)
        removed.append(path.name)
    if failed is not None:
        raise failed
    return removed
