"""What is trusted of each issuer, read from files that others keep up to date.

Workers never ask an issuer: its keys come from a file of the operator's, or from the
file that the supervisor's fetcher (``jwks.py``) keeps in the socket folder.  A file is
looked at once a second, and what was last good stays while it is missing or spoilt.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway_extproc.config.proofs import Issuer
from gateway_extproc.identity.keyset import MAX_BYTES, KeySet, KeySetError, read_key_set
from gateway_extproc.identity.trust import Trust, read_denials
from gateway_extproc.stores.following import Stamp, stamp_of

log = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 1.0
DENIED_BYTES: Final = 16 * 1024 * 1024


def fetched_file(folder: Path, issuer: Issuer) -> Path:
    """Where the fetcher leaves an issuer's keys, and workers find them.

    Keys that came from another address than today's must not be taken for today's.
    """
    address = hashlib.sha256(f"{issuer.jwks_url}".encode()).hexdigest()[:12]
    return folder / f"{issuer.id}-{address}.json"


def wanted_file(folder: Path, issuer: Issuer) -> Path:
    """Whose time of change says when a worker last met a key that it does not know."""
    return fetched_file(folder, issuer).with_suffix(".wanted")


@dataclass(slots=True)
class _File:
    """One file, and what was last good in it."""

    path: Path
    limit: int
    stamp: Stamp | None = None
    content: bytes | None = None

    def changed(self) -> bytes | None:
        """New content; None where the file is as it was, or cannot be read."""
        try:
            status = self.path.stat()
            stamp = stamp_of(status)
            if stamp == self.stamp:
                return None
            with self.path.open("rb") as file:
                content = file.read(self.limit + 1)
        except OSError as error:
            if self.stamp is not None or not isinstance(error, FileNotFoundError):
                log.warning("%s is not readable: %s", self.path, type(error).__name__)
            return None
        self.stamp = stamp
        return content if content != self.content else None


class _Watched:
    """One issuer's files and the trust they make together."""

    def __init__(self, issuer: Issuer, folder: Path) -> None:
        keys = fetched_file(folder, issuer) if issuer.jwks_file is None else issuer.jwks_file
        self.fetched = issuer.jwks_file is None and issuer.verified_by == "gateway"
        self.wanted = wanted_file(folder, issuer)
        self.wanted_s = float("-inf")
        self.checked_s = float("-inf")
        self.trust: Trust | None = None
        # Envoy has the keys of the issuers that it verifies.
        by_envoy = issuer.verified_by == "envoy"
        self._keys: KeySet | None = KeySet({}) if by_envoy else None
        self._keys_file = None if by_envoy else _File(Path(keys), MAX_BYTES)
        self._denied: frozenset[str] | None = frozenset() if issuer.denied_file is None else None
        self._denied_file = (
            None if issuer.denied_file is None else _File(Path(issuer.denied_file), DENIED_BYTES)
        )

    def refresh(self) -> None:
        """Looks at the files; a new trust is made only from something new and good."""
        changed = [self._refresh_keys(), self._refresh_denied()]
        if self.trust is not None and not any(changed):
            return
        if self._keys is not None and self._denied is not None:
            self.trust = Trust(self._keys, self._denied)

    def _refresh_keys(self) -> bool:
        file = self._keys_file
        content = None if file is None else file.changed()
        if file is None or content is None:
            return False
        try:
            self._keys = read_key_set(content)
        except KeySetError as error:
            log.error("%s is no key set (%s); the last good one stays", file.path, error)
            return False
        file.content = content
        return True

    def _refresh_denied(self) -> bool:
        file = self._denied_file
        content = None if file is None else file.changed()
        if file is None or content is None:
            return False
        try:
            if len(content) > file.limit:
                raise ValueError(f"larger than {file.limit} bytes")
            self._denied = read_denials(content.decode())
        except ValueError as error:
            log.error("%s: %s; the last good denials stay", file.path, error)
            return False
        file.content = content
        return True


class KeySetFiles:
    """``Trusts`` over files; one for each worker."""

    def __init__(self, issuers: Sequence[Issuer], folder: Path, now_s: Callable[[], float]) -> None:
        """``now_s`` is a monotonic clock."""
        self._now_s = now_s
        self._watched = {issuer.id: _Watched(issuer, folder) for issuer in issuers}

    def find(self, issuer: str) -> Trust | None:
        """What is trusted of an issuer; None as long as its keys were never seen."""
        watched = self._watched[issuer]
        now_s = self._now_s()
        if now_s - watched.checked_s >= CHECK_EVERY_S:
            watched.checked_s = now_s
            watched.refresh()
        return watched.trust

    def want(self, issuer: str) -> None:
        """Asks the fetcher for the issuer's keys, at most once a second."""
        watched, now_s = self._watched[issuer], self._now_s()
        if not watched.fetched or now_s - watched.wanted_s < CHECK_EVERY_S:
            return
        watched.wanted_s = now_s
        try:
            watched.wanted.touch(mode=0o600)
            os.utime(watched.wanted)
        except OSError as error:
            log.warning("%s cannot be written: %s", watched.wanted, type(error).__name__)
