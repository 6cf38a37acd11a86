"""The values that rules of kind pii, secret and hidden look for, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway_extproc.guards.hidden import GATE, find_hidden, live_hidden
from gateway_extproc.guards.numbers import (
    Spans,
    find_cards,
    find_ibans,
    find_ssns,
    live_card,
    live_iban,
    live_ssn,
)
from gateway_extproc.guards.words import find_emails, find_secrets, live_email, live_secret


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of value.

    ``gate`` is a Hyperscan expression without which a text holds no such value; ``find``
    gives the exact spans; ``live`` gives the position from which on a text's end
    may still become (or lengthen) one, ``len(text)`` when nothing can.
    """

    name: str
    placeholder: str
    gate: str
    find: Callable[[str], Spans]
    live: Callable[[str], int]


ENTITIES: Final[dict[str, Entity]] = {
    entity.name: entity
    for entity in (
        Entity("card", "[CARD]", r"[0-9](?:[ -]?[0-9]){11}", find_cards, live_card),
        Entity("iban", "[IBAN]", r"[a-z]{2}[0-9]{2}(?:[ -]?[a-z0-9]){11}", find_ibans, live_iban),
        Entity("us_ssn", "[SSN]", r"[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}", find_ssns, live_ssn),
        Entity("email", "[EMAIL]", r"[a-z0-9._%+-]@[a-z0-9-]+\.[a-z]", find_emails, live_email),
        Entity(
            "api_key",
            "[SECRET]",
            r"sk-[a-z0-9_-]{20}|(?:akia|asia)[a-z0-9]{16}|gh[pousr]_[a-z0-9]{36}"
            r"|github_pat_[a-z0-9_]{36}|xox[abeoprs]-[a-z0-9-]{10}|aiza[a-z0-9_-]{35}"
            r"|gw_[a-z0-9]{1,16}_[a-z0-9]{1,40}_|-----BEGIN [a-z0-9 ]{0,40}PRIVATE KEY",
            find_secrets,
            live_secret,
        ),
        # Hidden characters are taken out, not replaced: what they hid in stays readable.
        Entity("hidden", "", GATE, find_hidden, live_hidden),
    )
}
