"""Postal addresses, by number and kind of street: address-like, no more.

Without a gazetteer only streets that say that they are streets can be seen, in the languages
of the tables below.
"""

from __future__ import annotations

import re
from typing import Final

from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.scanner import Scanner

_KINDS = (
    "Street|St|Road|Rd|Avenue|Ave|Av|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Way"
    "|Terrace|Ter|Close|Crescent|Cres|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Trl|Plaza|Row|Mews"
    "|Gardens|Grove|Hill|Alley|Loop|Walk|Turnpike|Freeway|Expressway|Quay|Wharf|Esplanade|Parade"
)
# A character outside ASCII is one that the scanner sees as any other: hence the dots.
_SUFFIXES = (
    "stra.e|strasse|str|weg|gasse|platz|allee|ufer|damm|straat|laan|plein|gracht|kade|dijk"
    "|gatan|v.gen|gr.nd|veien|gata|gate|vej|gade|str.de|katu|kuja|polku|tie|utca"
)
_FIRST = (
    "rue|avenue|boulevard|chemin|impasse|all.e|quai|route|place|via|viale|piazza|corso|vicolo"
    "|largo|calle|avenida|carrera|paseo|plaza|rua|travessa|pra.a|estrada|ul\\.|ulica|aleja|al\\."
)
_NUMBER = r"[0-9]{1,5}(?:[-/][0-9]{1,4})?[A-Za-z]?"
_WORD = r"[A-Z?][A-Za-z?'.-]*"
_OF = r"(?:(?:de la|de l'|de|du|des|del|della|dei|dos|das|do|da) )?"

_SCANNER: Final = Scanner(
    (
        # 12 North Elm Street
        rf"\b{_NUMBER} (?:{_WORD} |[0-9]{{1,3}}(?:st|nd|rd|th) ){{1,4}}(?:{_KINDS})\b",
        # 12, rue de la Paix
        rf"\b{_NUMBER},? (?:bis |ter )?(?i:{_FIRST}) {_OF}{_WORD}\b",
        # Via Roma 12
        rf"\b(?i:{_FIRST}) {_OF}{_WORD}(?: (?:d[aeio]s? )?{_WORD}){{0,3}},? [0-9]{{1,5}}\b",
        # Hauptstr. 5, 21450 Birkenkatu 7
        rf"\b(?:{_NUMBER} )?(?:{_WORD} )?[A-Z?][A-Za-z?-]*(?:{_SUFFIXES})\.? [0-9]{{1,4}}\b",
        # 90210 Anywhere 14 Apt. 12
        rf"\b[0-9]{{1,5}} (?:{_WORD} ){{1,3}}[0-9]{{1,4}}[A-Za-z]?,? (?:Apt|Suite|Flat|Unit)\b",
        r"\b(?:Apt|Suite)\.? #?[0-9]{1,5}\b",
        # Box numbers, and those of the United States' forces
        r"(?i)\bp\.? ?o\.? ?box [0-9]{1,6}\b",
        r"\b(?:PSC|Unit) [0-9]{1,5},? Box [0-9]{1,5}\b",
        r"\b[AFD]PO A[AEP] [0-9]{5}\b",
    )
)
_UNIT = re.compile(
    r"\.?,? ?(?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm)\b\.? ?#?[0-9A-Za-z-]{1,6}"
    r"|#[0-9]{1,5})"
)

GATE: Final = (
    rf"[0-9][A-Za-z]? [^\n]* (?:{_KINDS})\b",
    rf"(?i)[a-z](?:{_SUFFIXES})\.? [0-9]",
    rf"(?i)\b(?:{_FIRST}) [^\n]* [0-9]",
    rf"(?i)[0-9][a-z]?,? (?:bis |ter )?(?:{_FIRST}) ",
    r"(?i)\bp\.? ?o\.? ?box [0-9]",
)
_LONGEST = 96


def find_addresses(text: str) -> Spans:
    """Number, name and kind of a street, with flat or suite; a post office box."""
    spans = merged(_SCANNER.spans(text, _LONGEST))
    return merged([(start, _with_unit(text, end)) for start, end in spans])


def _with_unit(text: str, end: int) -> int:
    unit = _UNIT.match(text, end)
    return unit.end() if unit else end


_LETTER = "[A-Z\u0080-\U0010ffff]"
_INSIDE = r"[\w\u0080-\U0010ffff'.-]"
_NAME = rf"{_LETTER}{_INSIDE}{{0,70}}"
_ANY = rf"[A-Z\u0080-\U0010ffff0-9#]{_INSIDE}{{0,70}}"
_MORE = rf"(?:{_ANY},? |d[aeio]s? ){{0,7}}(?:{_ANY},?|[a-zé.']{{1,9}})?"
_TAIL = re.compile(
    # From a number on: names, and one small word that may become a kind of street.
    rf"(?<![A-Za-z0-9_])(?:[0-9][0-9/-]{{0,9}}[A-Za-z]?,?(?: (?:(?:bis|ter) )?(?:[a-zé.]{{2,9}} )?{_OF}{_MORE})?"  # noqa: E501
    # From a kind on: names and the number.
    rf"|(?i:{_FIRST})(?: {_OF}{_MORE})?"
    rf"|(?:Apt|Suite|PSC|Unit|[AFD]PO)\.?(?: {_MORE})?"
    # From a name on: the next one may end as a street does.
    rf"|{_NAME}(?: (?:{_NAME})?)?"
    rf"|(?:{_NAME} )?{_LETTER}{_INSIDE}{{1,70}}(?:{_SUFFIXES})\.?(?: {_MORE})?"
    r"|[Pp](?:\.? ?(?:[Oo](?:\.? ?(?:[Bb](?:[Oo](?:[Xx](?: [0-9]{0,6})?)?)?)?)?)?)?)\Z"
)
_LAST_WORD = re.compile(r"[a-zA-Zé.]{1,9}\Z")
_KIND_BEGINNINGS = frozenset(
    kind[:length]
    for kind in (_FIRST.replace("\\", "") + "|allée|praça").replace(".a|", "a|").split("|")
    for length in range(1, len(kind) + 1)
)


def live_address(text: str) -> int:
    """From a number, a kind of street or a name on, while what follows may belong to it."""
    word = _LAST_WORD.search(text, max(0, len(text) - 10))
    live = len(text)
    if word and word[0].lower() in _KIND_BEGINNINGS:
        live = word.start()
    found = _TAIL.search(text, max(0, len(text) - _LONGEST - 32))
    return min(live, found.start()) if found else live
