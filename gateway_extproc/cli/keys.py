"""``keys issue``: a new API key, shown once, and the line that makes it known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from gateway_extproc.core.apikey import key_hmac, make_key
from gateway_extproc.core.secret import Secret


def issue_key(
    pepper: Secret,
    environment: str,
    *,
    tenant: str,
    user: str,
    application: str,
    roles: Sequence[str],
) -> tuple[str, dict[str, Any]]:
    """A fresh key, and its entry for the ``keys`` section of a configuration."""
    key_id = os.urandom(6).hex()
    key = make_key(environment, key_id, os.urandom(32))
    entry = {
        "id": key_id,
        "hmac": key_hmac(pepper.reveal().encode(), key).hex(),
        "tenant": tenant,
        "user": user,
        "application": application,
        "roles": list(roles),
    }
    return key, entry
