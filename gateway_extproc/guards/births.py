"""Dates of birth: a date, and a word before it that speaks of a birth."""

from __future__ import annotations

import re
from typing import Final

from gateway_extproc.guards.context import ContextWords
from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.shapes import MATCHES_MAX, with_rest

GATE: Final = (
    r"(?i)\b(?:born|birth|birthday|birthdate|dob|d\.o\.b|b\.?day|geboren|geburtsdatum|geburtstag"
    r"|naissance|nacido|nacida|nacimiento|nato|nata|nascita|nascido|nascida|nascimento|geboortedatum"
    r"|urodzony|urodzona|urodzenia|naiss|date de naissance|doğum)\b",
    "né le|née le|род|生|태어|출생|जन्म",
)
_WORDS = ContextWords(
    """
    born, birth, birthday, birthdate, date of birth, dob, d.o.b, d.o.b., bday, b-day, geboren,
    geburtsdatum, geburtstag, naissance, nacido, nacida, nacimiento, nato, nata, nascita, nascido,
    nascida, nascimento, geboortedatum, urodzony, urodzona, urodzenia, né le, née le, doğum,
    родился, родилась, рождения, 出生, 生年月日, 出生日期, 生于, 생년월일, 출생, जन्म
    """
)
_REACH = 40
_MONTHS = (
    "jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|f[ée]vrier|mar(?:ch|s|zo)?|m[äa]rz|apr(?:il|ile)?"
    "|avril|abril|ma[yi]|maggio|mayo|june?|juni|juin|giugno|junio|july?|juli|juillet|luglio|julio"
    "|aug(?:ust)?|août|agosto|sept?(?:ember|embre|iembre)?|settembre|o[ck]t(?:ober|obre|ubre)?"
    "|ottobre|nov(?:ember|embre|iembre)?|de[czs](?:ember|embre|iembre)?|d[ée]cembre|dicembre"
    "|diciembre|gennaio|enero|febbraio|febrero"
)
_YEAR = "(?:1[89][0-9]{2}|20[0-9]{2})"
# One separator throughout; a group cannot be referred to inside of a look behind.
_FIGURES = "|".join(
    rf"[0-9]{{1,2}}{mark}[0-9]{{1,2}}{mark}(?:{_YEAR}|[0-9]{{2}})|{_YEAR}{mark}[0-9]{{1,2}}{mark}[0-9]{{1,2}}"
    for mark in (r"\.", "/", "-")
)
_DATE = re.compile(
    r"[0-9A-Za-zäûéô](?<![\w].)(?<![0-9][.,/-].)(?<=(?=[0-9jfmasondge])(?=("
    rf"(?:{_FIGURES}"
    rf"|{_YEAR}年 ?[0-9]{{1,2}}月 ?[0-9]{{1,2}}日"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th|\.|º)?(?: de| of)? (?:{_MONTHS})\.?,?(?: de)? {_YEAR}"
    rf"|(?:{_MONTHS})\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? {_YEAR})"
    r")(?![0-9A-Za-z])).)",
    re.IGNORECASE | re.DOTALL,
)
_LONGEST = 32
_MONTH_BEGINNINGS = frozenset(
    name[:length]
    for name in [
        "january",
        "januar",
        "janvier",
        "february",
        "februar",
        "fevrier",
        "février",
        "march",
        "mars",
        "marzo",
        "märz",
        "april",
        "aprile",
        "avril",
        "abril",
        "mai",
        "may",
        "maggio",
        "mayo",
        "june",
        "juni",
        "juin",
        "giugno",
        "junio",
        "july",
        "juli",
        "juillet",
        "luglio",
        "julio",
        "august",
        "août",
        "agosto",
        "september",
        "septembre",
        "septiembre",
        "settembre",
        "october",
        "octobre",
        "octubre",
        "oktober",
        "ottobre",
        "november",
        "novembre",
        "noviembre",
        "december",
        "decembre",
        "décembre",
        "dicembre",
        "diciembre",
        "dezember",
        "gennaio",
        "enero",
        "febbraio",
        "febrero",
    ]
    for length in range(1, len(name) + 1)
)
_LAST_WORD = re.compile(r"\w{1,10}\Z")
_LETTER = "[A-Za-zäûéô]"
_TAIL = re.compile(
    r"(?<!\w)(?:[0-9][0-9./ 年月日-]{0,14}"
    rf"|[0-9]{{1,2}}[A-Za-zº.]{{0,2}} (?:{_LETTER}{{1,11}}[.,]{{0,2}} ?){{1,3}}[0-9]{{0,4}}"
    rf"|(?i:{_MONTHS})\.? [0-9]{{1,2}}[A-Za-z]{{0,2}},? ?[0-9]{{0,4}}"
    rf"|{_LETTER}{{1,10}}\.? ?)\Z"
)
_DIGIT = re.compile("[0-9]")


def find_births(text: str) -> Spans:
    """Dates in figures or with the month's name, up to 40 characters after such a word."""
    ends = _WORDS.ends(text)
    spans: Spans = []
    position = 0
    for end in ends:
        if end + _REACH <= position:
            continue
        # Each stretch of text is looked at once, however many words stand before it.
        begin, stop = max(end, position), end + _REACH + _LONGEST
        if _DIGIT.search(text, begin, stop) is None:
            position = max(position, end + _REACH + 1)
            continue
        for match in _DATE.finditer(text, begin, stop):
            if match.start() <= end + _REACH:
                spans.append(match.span(1))
        if len(spans) >= MATCHES_MAX:
            break
        position = max(position, end + _REACH + 1)
    return merged(with_rest(spans, text, MATCHES_MAX))


def live_birth(text: str) -> int:
    """The beginning of a date at the end, where a word near it speaks of a birth."""
    offset = max(0, len(text) - _LONGEST - 2)
    if _DIGIT.search(text, offset) is None:
        word = _LAST_WORD.search(text, max(0, len(text.rstrip(" .")) - 11), len(text.rstrip(" .")))
        if word is None or word[0].lower() not in _MONTH_BEGINNINGS:
            return len(text)
    found = _TAIL.search(text, offset)
    if found is None:
        return len(text)
    near = text[max(0, found.start() - _REACH - 24) :]
    return found.start() if _WORDS.ends(near) else len(text)
