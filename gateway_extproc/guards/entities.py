"""The values that rules of kind pii, secret and hidden look for, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from gateway_extproc.guards import (
    addresses,
    assignments,
    births,
    hidden,
    keys,
    network,
    phones,
    tokens,
)
from gateway_extproc.guards.located import LONG_TEXT
from gateway_extproc.guards.nationalids import NATIONAL_IDS
from gateway_extproc.guards.numbers import (
    Spans,
    find_cards,
    find_ibans,
    find_ssns,
    live_card,
    live_iban,
    live_ssn,
)
from gateway_extproc.guards.overlap import STRENGTH, stronger_than, without_overlaps
from gateway_extproc.guards.scanner import Scanner
from gateway_extproc.guards.words import find_emails, live_email


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of value.

    ``gates`` are Hyperscan expressions; a text that none of them matches holds no such value.
    ``find`` gives the exact spans; ``live`` gives the position from which on a text's
    end may still become one, lengthen one or take one back, ``len(text)`` when nothing can.
    A value reaches back at most ``LOOKBACK`` characters for what decides it.
    """

    name: str
    placeholder: str
    gates: tuple[str, ...]
    find: Callable[[str], Spans]
    live: Callable[[str], int]


LOOKBACK: Final = 256


def _is_ascii(entity: Entity) -> bool:
    return all(gate.isascii() for gate in entity.gates)


_RAW: Final = (
    Entity("card", "[CARD]", (r"[0-9](?:[ -]?[0-9]){11}",), find_cards, live_card),
    Entity(
        "iban",
        "[IBAN]",
        (r"(?i)[a-z]{2}[0-9]{2}(?:[ -]?[a-z0-9]){11}",),
        find_ibans,
        live_iban,
    ),
    *(
        Entity(national.name, national.placeholder, (national.gate,), national.find, national.live)
        for national in NATIONAL_IDS
    ),
    Entity("us_ssn", "[SSN]", (r"[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}",), find_ssns, live_ssn),
    Entity(
        "email",
        "[EMAIL]",
        (r"(?i)[a-z0-9._%+-]@[a-z0-9-]+\.[a-z]",),
        find_emails,
        live_email,
    ),
    Entity("ip", "[IP]", network.GATE, network.find_ips, network.live_ip),
    Entity("phone", "[PHONE]", (phones.GATE,), phones.find_phones, phones.live_phone),
    Entity("date_of_birth", "[DATE_OF_BIRTH]", births.GATE, births.find_births, births.live_birth),
    Entity(
        "address",
        "[ADDRESS]",
        addresses.GATE,
        addresses.find_addresses,
        addresses.live_address,
    ),
    Entity("api_key", "[SECRET]", keys.GATE, keys.find_keys, keys.live_key),
    Entity(
        "private_key",
        "[PRIVATE_KEY]",
        keys.PEM_GATE,
        keys.find_private_keys,
        keys.live_private_key,
    ),
    Entity("jwt", "[JWT]", tokens.JWT_GATE, tokens.find_jwts, tokens.live_jwt),
    Entity(
        "url_password",
        "[PASSWORD]",
        tokens.URL_GATE,
        tokens.find_url_passwords,
        tokens.live_url_password,
    ),
    Entity(
        "generic_secret",
        "[SECRET]",
        assignments.GATE,
        assignments.find_generic_secrets,
        assignments.live_generic_secret,
    ),
    # Hidden characters are taken out, not replaced: what they hid in stays readable.
    Entity("hidden", "", (hidden.GATE,), hidden.find_hidden, hidden.live_hidden),
)
_BY_NAME: Final = {entity.name: entity for entity in _RAW}
_PROVEN: Final = [entity for entity in _RAW if entity.name in STRENGTH and _is_ascii(entity)]
_GATES: Final = Scanner([gate for entity in _PROVEN for gate in entity.gates], presence=True)
_GATE_OF: Final = [entity.name for entity in _PROVEN for _ in entity.gates]
_UNGATED: Final = frozenset(_BY_NAME) - frozenset(_GATE_OF)
_STRONGER: Final = {name: stronger_than(name) for name in _BY_NAME}


class _Looks:
    """One text, looked at once for each kind, however many kinds yield to it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: dict[str, Spans] = {}

    def spans(self, name: str) -> Spans:
        """The values of a kind, without those that are values of a stronger kind."""
        spans, stronger = self._raw(name), _STRONGER[name]
        if not spans or not stronger:
            return spans
        others = [span for other in stronger if other in self._present for span in self._raw(other)]
        return without_overlaps(spans, others)

    def _raw(self, name: str) -> Spans:
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = _BY_NAME[name].find(self._text)
        return found

    @cached_property
    def _present(self) -> frozenset[str]:
        """The kinds whose gate the text passes, and those whose gate is not in ASCII."""
        return frozenset(_GATE_OF[hit[0]] for hit in _GATES.hits(self._text)) | _UNGATED


def find_each(text: str, names: Iterable[str]) -> dict[str, Spans]:
    """The spans of several kinds in one text; of a stretch that two could read, the stronger's."""
    looks = _Looks(text)
    return {name: looks.spans(name) for name in names}


def _yielding(entity: Entity) -> Entity:
    """The entity without the spans that are values of a stronger kind.

    Its ``live`` also waits for those: a span that one of them may still touch is not certain.
    """
    stronger = [_BY_NAME[name] for name in _STRONGER[entity.name]]
    if not stronger:
        return entity

    def find(text: str) -> Spans:
        return _Looks(text).spans(entity.name)

    def live(text: str) -> int:
        own = entity.live(text)
        others = min(other.live(text) for other in stronger)
        if others >= own:
            return own
        for start, end in entity.find(text):
            if end > others:
                return min(own, start)
        return own

    return Entity(entity.name, entity.placeholder, entity.gates, find, live)


def prepare(entity: Entity) -> None:
    """Compiles what the entity's finder uses, so that no text has to wait for it."""
    entity.find("")
    entity.find(" " * LONG_TEXT)
    _GATES.hits("")


ENTITIES: Final[dict[str, Entity]] = {entity.name: _yielding(entity) for entity in _RAW}
