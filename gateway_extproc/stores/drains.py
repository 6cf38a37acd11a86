"""Targets and providers that an operator has taken out: a file that survives restarts.

All workers of a host follow it.  Every entry says when it was made, also the one that ends a
drain: the later word counts, wherever it was said, so that hosts can tell each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

import orjson

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.routing.watched import TargetKey, name_of
from gateway_extproc.stores.following import Stamp, stamp_of

DRAINS_NAME: Final = "drains.json"
KEPT_S: Final = 7 * 86400.0
"""How long it is remembered that a drain has ended."""


@dataclass(frozen=True, slots=True)
class Drain:
    """``name`` is a provider's id or a target's name; ``until_s`` None holds for good, 0 ends.

    Times are in seconds since 1970.
    """

    name: str
    until_s: float | None
    at_s: float
    by: str = ""

    def holds(self, now_s: float) -> bool:
        return self.until_s is None or self.until_s > now_s


class Drained(Protocol):
    """Who is taken out; ``version`` changes when that does."""

    version: int

    def is_drained(self, key: TargetKey, now_s: float) -> bool:
        """Whether it is to get nothing."""


class NoDrains:
    """Nobody ever is."""

    version = 0

    def is_drained(self, key: TargetKey, now_s: float) -> bool:
        return False


NO_DRAINS: Final = NoDrains()


class DrainFile:
    """The file, for a few calls; it holds nothing open.  Raises ``StoreUnavailable``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DRAINS_NAME

    def all(self) -> dict[str, Drain]:
        """Every entry by name, those that ended included."""
        return read_drains(self._path)

    def put(self, drains: Iterable[Drain], now_s: float) -> None:
        """Adds entries; of two of one name the later one stays."""
        with self._locked():
            known = read_drains(self._path)
            before = dict(known)
            for drain in drains:
                if drain.name not in known or known[drain.name].at_s < drain.at_s:
                    known[drain.name] = drain
            kept = {n: d for n, d in known.items() if d.holds(now_s) or d.at_s > now_s - KEPT_S}
            if kept != before:
                _write(self._path, kept)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(
                self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}") from None


class FollowedDrains:
    """``Drained`` of one process, after the host's file; ``stores.following.Followed``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DRAINS_NAME
        self._stamp: Stamp | None = None
        self._drains: Mapping[str, Drain] = {}
        self.version = 0

    def is_drained(self, key: TargetKey, now_s: float) -> bool:
        if not self._drains:
            return False
        provider, model, _ = key
        names = (provider, f"{provider}/{model}", name_of(key))
        return any((d := self._drains.get(name)) is not None and d.holds(now_s) for name in names)

    def refresh(self) -> bool:
        try:
            stamp = stamp_of(os.stat(self._path))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}") from None
        if stamp != self._stamp:
            self._drains = read_drains(self._path)
            self._stamp = stamp
            self.version += 1
        return False

    def close(self) -> None:
        """Nothing is held open."""


def read_drains(path: Path) -> dict[str, Drain]:
    """The entries of a file by name; none where there is no file."""
    try:
        return {drain.name: drain for drain in map(drain_of, orjson.loads(path.read_bytes()))}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise StoreUnavailable(f"{path}: {error}") from None


def drain_of(document: object) -> Drain:
    """An entry from JSON; raises ValueError and TypeError."""
    if not isinstance(document, dict):
        raise ValueError("a drain is an object")
    drain = Drain(**document)
    until_s = 0.0 if drain.until_s is None else drain.until_s
    if not isinstance(drain.name, str) or not math.isfinite(until_s + drain.at_s):
        raise ValueError("a drain has a name and times")
    return drain


def shown(drain: Drain) -> dict[str, object]:
    """An entry as JSON."""
    return asdict(drain)


def make_drain(
    name: str, for_s: float | None, by: str, now_s: Callable[[], float], *, drained: bool = True
) -> Drain:
    """A drain from now on, for so long or for good; or the end of one."""
    at_s = now_s()
    until_s = None if for_s is None else at_s + for_s
    return Drain(name, until_s if drained else 0.0, at_s, by)


def _write(path: Path, drains: Mapping[str, Drain]) -> None:
    """In one step: whoever reads sees all of it, before or after."""
    fresh = path.with_suffix(".new")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, orjson.dumps([shown(drain) for drain in drains.values()]))
        os.fsync(file)
    finally:
        os.close(file)
    fresh.replace(path)
