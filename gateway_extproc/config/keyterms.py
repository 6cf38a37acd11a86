"""Terms of a key that a command or the admin server is given, checked like the file's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
from pydantic import ValidationError

from gateway_extproc.config.load import validation_mistakes
from gateway_extproc.config.mistakes import ConfigError, Mistake
from gateway_extproc.config.model import ApiKey, Config
from gateway_extproc.config.roles import all_roles

NEW_ID: Final = "0" * 8
NEW_HMAC: Final = "0" * 64


def read_terms(entry: Any, config: Config, tenants: frozenset[str]) -> ApiKey:
    """An entry of the section ``keys``; without id and HMAC it is one of a key to be made.

    ``tenants`` are those known beside the configuration's.  Raises ``ConfigError`` with all
    mistakes.
    """
    if isinstance(entry, dict):
        entry = {"id": NEW_ID, "hmac": NEW_HMAC, **entry}
    try:
        key = ApiKey.model_validate_json(orjson.dumps(entry, default=str))
    except ValidationError as error:
        raise ConfigError(validation_mistakes(error)) from None
    mistakes = list(_unknown_names(key, config, tenants))
    if mistakes:
        raise ConfigError(mistakes)
    return key


def _unknown_names(key: ApiKey, config: Config, tenants: frozenset[str]) -> Iterator[Mistake]:
    known = {tenant.id for tenant in config.tenants} | tenants
    if key.tenant not in known:
        some = ", ".join(sorted(known)[:8])
        yield Mistake("tenant", repr(key.tenant), f"a tenant that is known here ({some}, ...)")
    roles = all_roles(config.roles)
    for role in key.roles:
        if role not in roles:
            yield Mistake("role", repr(role), f"a role ({', '.join(sorted(roles))})")
