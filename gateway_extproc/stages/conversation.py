"""What stood for masked values in earlier requests of a conversation, for the guard stage.

A map is sealed under a key that only its tenant, caller and conversation together give; whoever
names somebody else's conversation finds none.  It is kept before the model sees a new
placeholder: what is not kept is not asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import NamedTuple

from gateway_extproc.config.guarding import MaskConversations
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import MaskStore
from gateway_extproc.guards.placeholders import (
    CONVERSATION_BYTES_MAX,
    NONCE_BYTES,
    Placeholders,
    PlaceholdersLost,
)


class Conversation(NamedTuple):
    """Whose it is and what the caller calls it; ``name`` is what a store reads of both."""

    tenant: str
    id: str

    @property
    def name(self) -> str:
        return hashlib.sha256(json.dumps(self).encode()).hexdigest()


class Opened(NamedTuple):
    """A map and the sealed form that it was read from; ``lost`` where that did not open."""

    masks: Placeholders
    sealed: bytes | None
    lost: bool = False


class Conversations:
    """Reads and keeps maps; ``key`` of 32 bytes, ``nonce`` gives random bytes."""

    def __init__(
        self,
        store: MaskStore,
        settings: MaskConversations,
        key: bytes,
        nonce: Callable[[int], bytes],
    ) -> None:
        self._store, self._key, self._nonce = store, key, nonce
        self._header, self._life_s = settings.header, settings.ttl_s
        self._tenants = frozenset(settings.tenants)
        self.required = settings.on_error == "closed"
        """Whether a request waits for better times where the store is away."""

    def of(self, exchange: Exchange) -> Conversation | None:
        """The conversation that the request names, if its tenant has any."""
        called = exchange.headers.get(self._header, "")
        if not called or exchange.permit is None:
            return None
        who = exchange.permit.principal
        if self._tenants and who.tenant.id not in self._tenants:
            return None
        caller = who.user or who.application or who.credential_id
        return Conversation(who.tenant.id, json.dumps((caller, called)))

    async def open(self, conversation: Conversation) -> Opened:
        """The map of earlier requests; raises ``StoreUnavailable``."""
        sealed = await self._store.get(conversation.name)
        if sealed is None:
            return Opened(_new(), None)
        try:
            masks = Placeholders.load(
                sealed, self._key, tenant=conversation.tenant, conversation=conversation.id
            )
        except PlaceholdersLost:  # sealed under another pepper
            return Opened(_new(), sealed, lost=True)
        return Opened(masks, sealed)

    async def keep(self, conversation: Conversation, opened: Opened) -> bool:
        """False where another request kept something since; raises ``StoreUnavailable``."""
        sealed = opened.masks.export(
            self._key,
            tenant=conversation.tenant,
            conversation=conversation.id,
            nonce=self._nonce(NONCE_BYTES),
        )
        return await self._store.put(conversation.name, sealed, self._life_s, opened.sealed)


def _new() -> Placeholders:
    return Placeholders(bytes_max=CONVERSATION_BYTES_MAX)
