"""Ids of what a provider keeps under the gateway's own account, sealed for one tenant.

All tenants share that account, so the provider's id alone proves nothing.  What a client gets is
the provider's id and all that must be known of it later, encrypted and authenticated (AES-SIV,
RFC 5297) together with the tenant and the kind of thing: an id of another tenant, of another kind,
or one that nobody sealed, opens to nothing.  No process remembers anything.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from gateway_extproc.core.secret import Secret

Kind = Literal["file", "batch"]
PREFIXES: Final[Mapping[Kind, str]] = {"file": "file-", "batch": "batch_"}
MOST_CHARS: Final = 2048


class SealedIds:
    """Seals and opens; the same fields give the same id, so that it can be compared."""

    def __init__(self, pepper: Secret) -> None:
        purpose = b"ids of files and batches"
        self._cipher = AESSIV(hmac.digest(pepper.reveal().encode(), purpose, "sha512"))

    def seal(self, kind: Kind, tenant: str, fields: Mapping[str, Any]) -> str:
        """The id that the tenant's clients read."""
        data = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        sealed = self._cipher.encrypt(data, [kind.encode(), tenant.encode()])
        return PREFIXES[kind] + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, kind: Kind, tenant: str, text: str) -> dict[str, Any] | None:
        """What was sealed; None for whatever is not this tenant's."""
        prefix = PREFIXES[kind]
        if not text.startswith(prefix) or len(text) > MOST_CHARS:
            return None
        coded = text.removeprefix(prefix)
        try:
            sealed = base64.b64decode(coded + "=" * (-len(coded) % 4), b"-_", validate=True)
            data = self._cipher.decrypt(sealed, [kind.encode(), tenant.encode()])
        except (binascii.Error, ValueError, InvalidTag):
            return None
        fields: dict[str, Any] = orjson.loads(data)
        return fields
