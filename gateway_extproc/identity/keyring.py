"""What is done with API keys: issue, rotate, revoke, suspend, resume.

For commands and the admin server alike.  A key's text exists only in what ``issue``
and ``rotate`` return; the store holds its HMAC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway_extproc.core.apikey import key_hmac, make_key
from gateway_extproc.core.keys import KeyExists, KeyRecord, KeyRevoked, KeyUnknown
from gateway_extproc.core.ports import KeyStore
from gateway_extproc.core.secret import Secret

ID_BYTES: Final = 6
SECRET_BYTES: Final = 32

Entropy = Callable[[int], bytes]
"""So many random bytes; ``os.urandom`` outside of tests."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new key: shown to its owner, then forgotten."""

    key: Secret
    record: KeyRecord


class Keyring:
    """Keys of a store, and those of the configuration (``fixed``), which a store shadows.

    All methods may wait and raise ``StoreUnavailable``; those about one key raise
    ``KeyUnknown``, and ``KeyRevoked`` where its revocation forbids it.
    """

    def __init__(
        self,
        store: KeyStore,
        fixed: Mapping[str, KeyRecord],
        pepper: Secret,
        now_s: Callable[[], float],
        entropy: Entropy,
    ) -> None:
        self._store, self._fixed = store, fixed
        self._pepper = pepper.reveal().encode()
        self._now_s, self._entropy = now_s, entropy

    def issue(self, terms: KeyRecord, environment: str) -> Issued:
        """A new key on these terms; their id and HMAC count for nothing.

        Raises ValueError for an environment that no key may have.
        """
        key_id = self._entropy(ID_BYTES).hex()
        key = make_key(environment, key_id, self._entropy(SECRET_BYTES))
        record = replace(
            terms, id=key_id, hmac=key_hmac(self._pepper, key), created_at_s=self._now_s()
        )
        self._store.add([record])
        return Issued(Secret(key), record)

    def rotate(self, key_id: str, overlap_s: float, environment: str) -> Issued:
        """A new key in place of one, which ends when the overlap does."""
        old = self.get(key_id)
        if old.state != "active":
            raise KeyRevoked(f"key {key_id} is {old.state}: there is nothing to rotate")
        issued = self.issue(replace(old, replaces=key_id, reason=""), environment)
        ends_s = self._now_s() + overlap_s
        self._change(key_id, lambda k: replace(k, expires_at_s=min(k.expires_at_s, ends_s)))
        return issued

    def revoke(self, key_id: str, reason: str) -> KeyRecord:
        """Ends a key for good."""
        return self._change(key_id, lambda old: replace(old, state="revoked", reason=reason))

    def suspend(self, key_id: str, seconds: float, reason: str) -> KeyRecord:
        """Ends a key for a time; infinity means until it is resumed."""
        until_s = self._now_s() + seconds
        return self._change(key_id, lambda old: suspended(old, until_s, reason))

    def resume(self, key_id: str) -> KeyRecord:
        """Lifts a suspension."""
        return self._change(
            key_id,
            lambda old: replace(old, state="active", suspended_until_s=NO_END, reason=""),
        )

    def import_records(self, records: Sequence[KeyRecord]) -> None:
        """Keys that were made elsewhere, all or none; raises ``KeyExists``."""
        now_s = self._now_s()
        clash = [record.id for record in records if record.id in self._fixed]
        if clash:
            raise KeyExists(f"key {clash[0]} exists in the configuration")
        self._store.add([replace(record, created_at_s=now_s) for record in records])

    def get(self, key_id: str) -> KeyRecord:
        try:
            return self._store.get(key_id).record
        except KeyUnknown:
            if key_id in self._fixed:
                return self._fixed[key_id]
            raise

    def all(self) -> Iterator[KeyRecord]:
        """Every key, revoked ones included."""
        seen: set[str] = set()
        since = 0
        while page := self._store.changes(since):
            since = page[-1].version
            for stored in page:
                seen.add(stored.record.id)
                yield stored.record
        yield from (record for key_id, record in self._fixed.items() if key_id not in seen)

    def _change(self, key_id: str, edit: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
        try:
            return self._store.change(key_id, edit).record
        except KeyUnknown:
            if key_id not in self._fixed:
                raise
        # A key of the configuration: the store's record of it wins from now on.
        changed = edit(self._fixed[key_id])
        try:
            self._store.add([changed])
        except KeyExists:
            return self._store.change(key_id, edit).record
        return changed


NO_END: Final = float("inf")


def suspended(old: KeyRecord, until_s: float, reason: str) -> KeyRecord:
    """A record with a suspension that ends no earlier than one it already has."""
    if old.state == "suspended":
        until_s = max(until_s, old.suspended_until_s)
    return replace(old, state="suspended", suspended_until_s=until_s, reason=reason)
