"""Tables that workers follow: a look at each, often enough for a revocation to count."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Final, Protocol

from gateway_extproc.core.ports import StoreUnavailable

log = logging.getLogger(__name__)

FOLLOW_S: Final = 0.25
"""Pause between two looks; a look that finds nothing costs some microseconds."""


Stamp = tuple[int, int, int]


def stamp_of(status: os.stat_result) -> Stamp:
    """Tells one state of a file from the next, a file that took its place included."""
    return (status.st_ino, status.st_mtime_ns, status.st_size)


class Followed(Protocol):
    """A table in memory with its origin elsewhere."""

    def refresh(self) -> bool:
        """Brings in what changed, some milliseconds of it; True when there may be more.

        Raises ``StoreUnavailable`` and keeps what it has.
        """

    def close(self) -> None: ...


def catch_up(tables: Sequence[Followed]) -> None:
    """Brings in everything, for a process that does not serve yet."""
    for table in tables:
        while table.refresh():
            pass


async def follow(tables: Sequence[Followed]) -> None:
    """Keeps tables fresh until it is cancelled; a table that cannot be read stays as it was."""
    troubles: dict[int, str] = {}
    while True:
        for i, table in enumerate(tables):
            trouble = await _refresh(table)
            if trouble != troubles.get(i, ""):
                troubles[i] = trouble
                log.warning("%s", trouble or "a table is followed again")
        await asyncio.sleep(FOLLOW_S)


async def _refresh(table: Followed) -> str:
    """Why the table could not be refreshed; empty when it was.

    Whatever goes wrong, the next look comes: a follower that died would miss revocations.
    """
    try:
        more = True
        while more:
            more = table.refresh()
            await asyncio.sleep(0)  # the loop's other work gets its turn
    except StoreUnavailable as error:
        return f"a table stays as it was: {error}"
    except Exception:
        log.exception("a table could not be refreshed")
    return ""
