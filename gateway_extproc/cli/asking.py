"""What commands that read records have in common: where they are, which of them, since when."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway_extproc.cli.common import add_config_option, duration

SECOND_US: Final = 1_000_000


def moment(text: str) -> int:
    """A time as microseconds since 1970: ISO 8601 (UTC where it says nothing), or 2h, 7d ago.

    Raises ValueError.
    """
    try:
        return time.time_ns() // 1000 - int(duration(text) * SECOND_US)
    except ValueError:
        at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return int(at.timestamp()) * SECOND_US + at.microsecond


def positive(text: str) -> int:
    """A whole number above 0; raises ValueError."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def add_place(parser: argparse.ArgumentParser) -> None:
    """Where the records are: the folder that a configuration names, or any folder."""
    add_config_option(parser)
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="read the records in this folder instead"
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="read all files anew, and keep nothing beside them"
    )


def add_times(parser: argparse.ArgumentParser) -> None:
    """From when to when."""
    for name, what in (("since", "from then on"), ("until", "before then")):
        parser.add_argument(
            f"--{name}", type=_told(moment), metavar="TIME",
            help=f"{what}: 2h or 7d ago, or a time such as 2026-11-28T09:00",
        )  # fmt: skip


def _told(read: Callable[[str], int]) -> Callable[[str], int]:
    def moment_or_duration(text: str) -> int:
        try:
            return read(text)
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(
                f"{text!r} is neither a duration such as 2h or 7d nor a time such as "
                "2026-11-28T09:00"
            ) from None

    return moment_or_duration
