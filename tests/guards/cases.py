"""Values and rules that the guard tests share."""

from __future__ import annotations

from typing import Any

from gateway_extproc.config.model import GuardRule
from gateway_extproc.core.chat import Chunk, TextAt, TextDelta

INJECTION = (
    r"ignore\s+(all\s+)?(previous|prior|above)\s+(instructions|rules)",
    r"disregard\s+(your|the)\s+(system\s+)?(prompt|instructions)",
    r"you\s+are\s+now\s+(dan|in\s+developer\s+mode)",
    r"reveal\s+(your|the)\s+(system|hidden)\s+prompt",
    r"pretend\s+(that\s+)?you\s+have\s+no\s+(rules|restrictions)",
    r"<\|im_start\|>",
    r"\[INST\]",
    r"do\s+anything\s+now",
)

ALL_ENTITIES = ("card", "iban", "us_ssn", "email", "api_key")

OWN_KEY = f"gw_live_k3j2h1_{'aB3_-' * 8}xyz_0f1e2d3c"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "MIIEpAIBAAKCAQEA3Tz2mr7SZiAMfQyuvBjM9Oi8e0bL3sAbC1dEfGhIjKlMnOpQ\n" * 3
    + "abc=\n-----END RSA PRIVATE KEY-----"
)

VALUES = {
    "card": (
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2223003122003222",
        "3782 822463 10005",
        "30569309025904",
        "3530111333300000",
        "6011111111111117",
        "4222222222222",
    ),
    "iban": (
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "de89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "NO9386011117947",
        "FR14 2004 1010 0505 0001 3M02 606",
        "MT84MALT011000012345MTLCAST001S",
    ),
    "us_ssn": ("123-45-6789", "123 45 6789", "899-99-9999"),
    "email": (
        "jane@example.org",
        "jane.doe+news@mail.example.co.uk",
        "J_D%x@a-b.io",
    ),
    "api_key": (
        "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4f",
        "sk-ant-api03-" + "Ab3_dEf6hIj9lMn2-pQr5tUv8" * 4 + "AA",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8",
        "xoxb-123456789012-abcdefABCDEF",
        "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6q",
        OWN_KEY,
        PEM,
    ),
}

NOT_VALUES = {
    "card": (
        "4111111111111112",  # check digit
        "9111111111111111",  # no issuer
        "41111111111111111111",  # a longer run of digits
        "0.4111111111111111",  # a fraction
        "4111  1111  1111  1111",  # two spaces are two texts
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14",
        "1700000000000",  # milliseconds
    ),
    "iban": (
        "DE88370400440532013000",
        "XX89370400440532013000",
        "DE8937040044053201300",
        "ADE89370400440532013000",
        "DE893704004405320130001",
    ),
    "us_ssn": (
        "000-12-3456",
        "666-12-3456",
        "912-12-3456",
        "123-00-4567",
        "123-45-0000",
        "123-45 6789",
        "1123-45-6789",
        "123-45-67890",
        "123-45-6789-1",
        "123456789",
    ),
    "email": ("jane@localhost", "@example.org", "a @ b.org", "jane@example.o", "x" * 65 + "@a.org"),
    "api_key": (
        "sk-learn-model-selection-and-tuning",
        "task-0123456789abcdef0123456789",
        "AKIAIOSFODNN7EXAMPL",
        "ghp_short",
        "gw_live_abc_tooshort_123",
        "-----BEGIN PUBLIC KEY-----",
    ),
}

PLACEHOLDERS = {
    "card": "[CARD]",
    "iban": "[IBAN]",
    "us_ssn": "[SSN]",
    "email": "[EMAIL]",
    "api_key": "[SECRET]",
}


def rule(rule_id: str = "r", **fields: Any) -> GuardRule:
    """A rule with the fields a test cares for; by default it masks all entities of answers."""
    known: dict[str, Any] = {"direction": "both", "kind": "pii", "action": "mask"}
    known.update(fields)
    if known["kind"] in ("pii", "secret") and "entities" not in known:
        known["entities"] = ALL_ENTITIES
    return GuardRule(id=rule_id, **known)


def at(
    text: str, role: Any = "user", path: tuple[str | int, ...] = ("messages", 0, "content")
) -> TextAt:
    return TextAt(path, role, text)


def delta(text: str, slot: tuple[int | str, ...] = (0, "content"), **fields: Any) -> Chunk:
    """A chunk as a reader makes it: raw bytes, a document, one delta."""
    return Chunk(text.encode(), {"of": text}, (TextDelta(slot, text, **fields),))


def said(chunks: Any, slot: tuple[int | str, ...] | None = None) -> str:
    """All text of chunks (of one slot), joined."""
    return "".join(
        event.text
        for chunk in chunks
        for event in chunk.events
        if isinstance(event, TextDelta) and (slot is None or event.slot == slot)
    )
