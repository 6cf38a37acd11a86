"""``/_simulator/...``: what tests outside the process read and set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import orjson

from gateway_simulators.faults import FaultBox
from gateway_simulators.journal import Journal

PREFIX: Final = "/_simulator/"


class Control:
    """The simulator's own interface; never recorded, never faulty."""

    def __init__(self, journal: Journal, faults: FaultBox) -> None:
        self._journal = journal
        self._faults = faults
        self._actions: dict[tuple[str, str], Callable[[bytes], Any]] = {
            ("GET", "requests"): lambda _: {"requests": [r.document() for r in journal.requests]},
            ("DELETE", "requests"): lambda _: journal.clear(),
            ("GET", "violations"): lambda _: {
                "violations": [asdict(violation) for violation in journal.violations]
            },
            ("GET", "faults"): lambda _: asdict(faults.current),
            ("PUT", "faults"): self._put_faults,
            ("DELETE", "faults"): lambda _: faults.clear(),
        }

    def handle(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and JSON body."""
        name = path.partition("?")[0].removeprefix(PREFIX)
        action = self._actions.get((method, name))
        if action is None:
            return 404, orjson.dumps({"error": f"no such thing: {method} {path}"})
        try:
            return 200, orjson.dumps(action(body) or {})
        except ValueError as error:
            return 400, orjson.dumps({"error": str(error)})

    def _put_faults(self, body: bytes) -> dict[str, Any]:
        self._faults.put(orjson.loads(body))
        return asdict(self._faults.current)
