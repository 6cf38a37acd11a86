"""Ways in which a simulated provider fails, set by tests in process or over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "status": (int, type(None)),
    "retry_after": (str, type(None)),
    "delay_ms": (int,),
    "reset": (bool,),
    "hang": (bool,),
    "silent": (bool,),
    "refusal": (str, type(None)),
    "truncate_after_events": (int, type(None)),
    "truncate_clean": (bool,),
    "error_event_after": (int, type(None)),
    "garbage": (bool,),
    "chunk_delay_ms": (int,),
    "headers": (dict,),
    "times": (int, type(None)),
}


REFUSALS: Final = ("context_window", "content_policy")


@dataclass(frozen=True, slots=True)
class Faults:
    """How the next requests fail; the default is not at all.

    - ``status``: answer with this status and a body in the provider's error shape;
      ``retry_after`` adds that header.
    - ``delay_ms``: wait before the first byte, whatever comes then.
    - ``reset``: TCP RST before the first byte.  ``hang``: never a byte.
    - ``silent``: the head of the answer, then never a byte of its body.
    - ``refusal``: a 400 in the provider's words, for ``context_window`` or ``content_policy``.
    - ``truncate_after_events``: abort the connection after so many SSE events; with
      ``truncate_clean`` end the body properly instead, without the dialect's end
      mark.  A whole answer is cut in the middle of its body (with
      ``truncate_clean``: sent as a complete HTTP body of half a document).
    - ``error_event_after``: after so many SSE events an error event, then the end.
    - ``garbage``: status 200, application/json, and no JSON.
    - ``chunk_delay_ms``: wait between SSE events.
    - ``headers``: these in every answer instead of the simulator's own of the same names.
    - ``times``: for so many requests; None until cleared.
    """

    status: int | None = None
    retry_after: str | None = None
    delay_ms: int = 0
    reset: bool = False
    hang: bool = False
    silent: bool = False
    refusal: str | None = None
    truncate_after_events: int | None = None
    truncate_clean: bool = False
    error_event_after: int | None = None
    garbage: bool = False
    chunk_delay_ms: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None


NONE: Final = Faults()


def read_faults(document: object) -> Faults:
    """Faults from a JSON object; raises ValueError that names the wrong field."""
    if not isinstance(document, Mapping):
        raise ValueError("expected a JSON object of faults")
    for name, value in document.items():
        kinds = _KINDS.get(str(name))
        if kinds is None:
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(_KINDS)}")
        # bool is an int in Python; "status": true is a mistake all the same.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"fault {name!r} does not take {value!r}")
        if isinstance(value, int) and value < 0:
            raise ValueError(f"fault {name!r} must not be negative")
    faults = Faults(**document)
    if faults.status is not None and not 400 <= faults.status <= 599:
        raise ValueError("fault 'status' must be between 400 and 599")
    if faults.refusal is not None and faults.refusal not in REFUSALS:
        raise ValueError(f"fault 'refusal' must be one of {', '.join(REFUSALS)}")
    return faults


class FaultBox:
    """The faults in force; safe to change from a test's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults = NONE

    @property
    def current(self) -> Faults:
        return self._faults

    def set(self, **faults: Any) -> None:
        """Replaces all faults; raises ValueError for an unknown one."""
        self.put(faults)

    def put(self, document: object) -> None:
        """As ``set``, from a JSON object."""
        faults = read_faults(document)
        with self._lock:
            self._faults = faults

    def clear(self) -> None:
        with self._lock:
            self._faults = NONE

    def take(self) -> Faults:
        """The faults for one request; counts ``times`` down."""
        with self._lock:
            faults = self._faults
            if faults.times is None:
                return faults
            if faults.times == 0:
                self._faults = NONE
                return NONE
            left = faults.times - 1
            self._faults = replace(faults, times=left) if left else NONE
            return faults
