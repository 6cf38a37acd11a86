"""A small configuration in which every section has something to say, and its keys."""

from __future__ import annotations

from typing import Any

import yaml

from gateway_extproc.config.compile import Snapshot, compile_config
from gateway_extproc.config.load import load
from gateway_extproc.config.model import Config
from gateway_extproc.core.apikey import key_hmac, make_key

PEPPER = "pepper-of-the-tests"

SECRETS = {"east": "sk-secret-of-east", "west": "sk-ant-secret-of-west"}
"""What the tests' providers are given as credentials; must never be seen elsewhere."""


def api_key(key_id: str, seed: int = 7) -> str:
    """A well-formed key; ``seed`` makes another secret for the same id."""
    return make_key("test", key_id, bytes([seed]) * 32)


ANN = api_key("ann00001")
"""Tenant acme, may do everything."""
BOB = api_key("bob00001")
"""Tenant beta, may do everything."""
VIC = api_key("vic00001")
"""Tenant acme, a visitor: chat and models, the model ``small`` and those of ``pub-*``."""
CAT = api_key("cat00001")
"""Tenant clinic, whose data class is ``health``."""
OLD = api_key("old00001")
"""Tenant acme, expired at the end of 2020-01-01."""


def key_entry(key: str, tenant: str, user: str, role: str, **more: Any) -> dict[str, Any]:
    """A key's entry in the section ``keys``."""
    return {
        "id": key.split("_")[2],
        "hmac": key_hmac(PEPPER.encode(), key).hex(),
        "tenant": tenant,
        "user": user,
        "roles": [role],
        **more,
    }


def document(**sections: Any) -> dict[str, Any]:
    """The configuration as a document; keyword arguments replace whole sections."""
    base: dict[str, Any] = {
        "version": 1,
        "server": {"workers": 2},
        "identity": {"pepper_file": "run/pepper"},
        "tenants": [{"id": "acme"}, {"id": "beta"}, {"id": "clinic", "data_class": "health"}],
        "roles": [
            {"id": "developer"},
            {"id": "visitor", "endpoints": ["chat", "models"], "models": ["small", "pub-*"]},
        ],
        "keys": [
            key_entry(ANN, "acme", "ann", "developer"),
            key_entry(BOB, "beta", "bob", "developer"),
            key_entry(VIC, "acme", "vic", "visitor"),
            key_entry(CAT, "clinic", "cat", "developer"),
            key_entry(OLD, "acme", "old", "developer", expires="2020-01-01"),
        ],
        "guards": [
            {
                "id": "no-zebras",
                "direction": "both",
                "kind": "pattern",
                "action": "block",
                "patterns": ["forbidden zebra"],
            },
            {
                "id": "no-emails",
                "direction": "both",
                "kind": "pii",
                "action": "redact",
                "entities": ["email"],
            },
        ],
        "providers": [
            {
                "id": "east",
                "dialect": "openai",
                "base_url": "http://127.0.0.1:9001/v1",
                "credential_file": "run/east",
            },
            {
                "id": "west",
                "dialect": "anthropic",
                "base_url": "https://west.example/api/v1",
                "credential_file": "run/west",
                "data_classes": ["standard", "health"],
            },
        ],
        "models": [
            {
                "model": "small",
                "targets": [
                    {"provider": "east", "model": "east-small"},
                    {"provider": "west", "model": "west-small"},
                ],
            },
            {"model": "large", "targets": [{"provider": "west", "model": "west-large"}]},
            {"model": "pub-one", "targets": [{"provider": "east", "model": "east-one"}]},
        ],
        "prices": {
            "version": "p1",
            "models": [
                {"model": "east-small", "prompt_nanos": 100, "completion_nanos": 400},
                {"model": "west-small", "prompt_nanos": 200, "completion_nanos": 1000},
            ],
        },
    }
    return {**base, **sections}


def text(**sections: Any) -> str:
    """The configuration as YAML."""
    return yaml.safe_dump(document(**sections), sort_keys=False)


def make_config(**sections: Any) -> Config:
    """The configuration, loaded."""
    return load(text(**sections))


def make_snapshot(**sections: Any) -> Snapshot:
    """The configuration, compiled."""
    return compile_config(make_config(**sections))
