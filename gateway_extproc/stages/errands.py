"""What is done behind an answer and nobody waits for.

A stream's end may be cancelled at any wait, and with it the records of its request; so what has
to wait for a store is done in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Errands:
    """Tasks under way, at most ``most`` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, errand: Coroutine[Any, Any, None]) -> bool:
        """False where too many are under way already; then it is not done at all."""
        if len(self._tasks) >= self._most:
            errand.close()
            return False
        task = asyncio.get_running_loop().create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def done(self) -> None:
        """Waits until none is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
