"""Telephone numbers, by the way they are written or by a word near them.

A library that knows every numbering plan is not used: it takes 60 microseconds a candidate,
which a hostile text makes seconds of, and it refuses numbers that people mistype or invent.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import islice
from typing import Final

from gateway_extproc.guards.context import (
    CANDIDATES_MAX,
    REACH,
    ContextWords,
    stands_near,
)
from gateway_extproc.guards.located import Located
from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.shapes import MATCHES_MAX, with_rest

GATE: Final = r"[0-9][ .()/-]{0,2}[0-9](?:[ .()/-]{0,2}[0-9]){5}"

# Country codes that the ITU has assigned (E.164, list of assigned codes).
_CODES = (
    r"(?:1|7|2(?:0|7|1[1-368]|[2-6][0-9]|9[0-9])|3(?:[0-469]|5[0-9]|7[0-9]|8[0-79])"
    r"|4(?:[013-9]|2[013])|5(?:[1-8]|0[0-9]|9[0-9])|6(?:[0-6]|7[02-9]|8[0-35-9]|9[0-2])"
    r"|8(?:[1246]|0[08]|5[02356]|7[08]|8[0-368])|9(?:[0-58]|6[0-8]|7[0-79]|9[2-68]))"
)
_SEP = r"(?:\)[ .-]?|[ .-]?\(|[ ./-])"
_EXT = r"(?:(?: ?x|,? ?ext\.? ?)[0-9]{1,5})?+"

# By strength; the first two need no word near them.
_STRONG = "|".join(
    (
        # +46 (0)8 555 123 45: seven to fifteen digits behind the plus or two zeros.
        rf"(?:\+ ?|00){_CODES}(?:{_SEP}?[0-9]){{6,12}}+",
        # North America: (212)555-0147, 1-503-555-0164, 303.555.0119
        r"(?:\+?1[ .-]|001[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?[0-9]{3}[ .-]|"
        r"[2-9][0-9]{2}(?:-[0-9]{3}-|\.[0-9]{3}\.))[0-9]{4}",
        # A trunk zero and groups: 0471 12 34 56, 03.55.12.34.56, (08) 5550 0123
        r"(?:\(0[1-9][0-9]{0,4}\) ?|0[1-9][0-9]{0,4}[ ./-])"
        r"(?=(?:[ .-]?[0-9]){5,9}(?![ .-]?[0-9]))[0-9]{2,7}(?:[ .-][0-9]{2,4}){0,3}+",
        # (31) 555-012
        r"\([1-9][0-9]{1,3}\) ?[0-9]{3,4}[ -][0-9]{3,4}",
    )
)
_LOOSE = r"(?=(?:[ .-]?[0-9]){7})[0-9]{1,5}(?:[ .-]?[0-9]{2,7}){1,5}+"


def _numbers(form: str) -> re.Pattern[str]:
    """A number of that form which is no part of a longer one; group 1 is all of it."""
    return re.compile(
        rf"[+(0-9](?<![A-Za-z0-9_+].)(?<![0-9][.,:/-].)(?<=(?=((?:{form}){_EXT})"
        r"(?![A-Za-z0-9])(?![.-][0-9])).)",
        re.DOTALL,
    )


_STRONG_NUMBER, _LOOSE_NUMBER = _numbers(_STRONG), _numbers(_LOOSE)
_BEFORE = "[^A-Za-z0-9_+]"
_STRONG_NUMBERS = Located(
    _STRONG_NUMBER,
    {
        rf"{_BEFORE}\+[ 0-9]": 2,
        f"{_BEFORE}00[1-9]": 3,
        rf"{_BEFORE}\([0-9]{{2}}": 3,
        f"{_BEFORE}1[ .-][2-9(]": 3,
        f"{_BEFORE}[2-9][0-9]{{2}}[.-][0-9]{{3}}[.-]": 8,
        **{f"{_BEFORE}0[1-9]{'[0-9]' * n}[ ./-][0-9]": n + 4 for n in range(5)},
    },
)
_DIGIT = re.compile("[0-9]")
_FEWEST, _MOST = 7, 15
_DATE = re.compile(
    r"[0-9]{1,2}([./ -])[0-9]{1,2}\1(?:19|20)?[0-9]{2}|(?:19|20)[0-9]{2}([./ -])[0-9]{1,2}\2[0-9]{1,2}"  # noqa: E501
    r"|(?:19|20)[0-9]{2} ?- ?(?:19|20)[0-9]{2}"
)
_LONGEST_DATE = 11
_NO_DIGITS = str.maketrans("", "", " .()/+-ext,")
_WORDS = ContextWords(
    """
    phone, phones, phone number, telephone, tel, cell, cellphone, mobile, call, calls, called,
    calling, caller, fax, dial, desk, hotline, helpline, whatsapp, sms, text me, text us, message,
    messages, answering, answer, reach, contact, ring, landline, voicemail, handset, pager,
    telefon, telefonnummer, handy, handynummer, rufnummer, mobil, telefonnr, anrufen, tlf, telefoon,
    mobiel, telefono, telefone, celular, cellulare, portable, appel, appeler, appelez, llamar,
    llame, ligue, ligar, telefonu, numer telefonu, puhelin, puh, téléphone, tél, teléfono, móvil,
    телефон, тел, номер, моб, позвоните, звоните, 电话, 手机, 電話, 携帯, 전화, 휴대폰, फोन, هاتف,
    τηλέφωνο, κινητό, טלפון, telefonszám, číslo
    """
)
_OTHER_WORDS = ContextWords(
    "card, credit card, account, acct, order, invoice, ticket, iban, ssn, zip, postcode, isbn, "
    "serial, tracking, reference, version, case"
)
_AFTER = re.compile(
    r"(?:[ ,]{1,2}|-|/)\(?(?:office|fax|mobile|cell|home|work|desk)(?![A-Za-z])", re.IGNORECASE
)
_AFTER_WORDS = ContextWords("office, fax, mobile, cell, home, work, desk")
_LONGEST_NUMBER = 40
_AFTER_REACH = 10
_REACH = 64
_TAIL = re.compile(
    r"[+(0-9](?<![A-Za-z0-9_+].)(?:[0-9 .()/+-]{0,47}\Z"
    r"|(?=(?:[ .()/+-]{0,3}[0-9]){6})[0-9 .()/+-]{6,40}[ ,]{0,2}"
    r"(?:\(?[A-Za-z]{1,8}\.? ?[0-9]{0,5})?\Z)",
    re.DOTALL,
)


def find_phones(text: str) -> Spans:
    """Telephone numbers of seven to fifteen digits, with an extension.

    Numbers with a country code, in the North American form, with a trunk zero and groups, or
    with an area code in parentheses are taken as they are; other digits in groups or in
    one run only where a word before or after them speaks of telephones.  Dates are not.
    """
    found = islice(_STRONG_NUMBERS.finditer(text), MATCHES_MAX)
    spans = with_rest([match.span(1) for match in found if _is_number(match)], text, MATCHES_MAX)
    return merged(spans + _spoken_of(text))


def _is_number(match: re.Match[str]) -> bool:
    value = match[1]
    digits = len(value.partition("x")[0].translate(_NO_DIGITS))
    if not _FEWEST <= digits <= _MOST:
        return False
    return len(value) > _LONGEST_DATE or _DATE.fullmatch(value) is None


def _spoken_of(text: str) -> Spans:
    """Numbers of any form near a word of telephones, each stretch of text looked at once."""
    words = _WORDS.ends(text)
    after = _AFTER_WORDS.ends(text)
    if not words and not after:
        return []
    others = _OTHER_WORDS.ends(text)
    spans: Spans = []
    looked_at = 0
    for start, end in _windows(words, after):
        for match in _LOOSE_NUMBER.finditer(text, start, end + _LONGEST_NUMBER):
            place = match.start()
            near = place <= end and _nearest(words, place) > _nearest(others, place)
            if _is_number(match) and (near or _AFTER.match(text, match.end(1))):
                spans.append(match.span(1))
            looked_at += 1
            if looked_at >= CANDIDATES_MAX:
                return [*spans, (place, len(text))]
    return spans


def _windows(words: list[int], after: list[int]) -> Spans:
    """Where numbers may begin that a word speaks of: behind the one kind, before the other."""
    return merged(
        [(end, end + REACH + 1) for end in words]
        + [(max(0, end - _LONGEST_NUMBER - _AFTER_REACH), end) for end in after]
    )


def _nearest(ends: list[int], start: int) -> int:
    """The end of the last of these words before ``start``, -1 if none is near."""
    return ends[bisect_right(ends, start) - 1] if stands_near(ends, start) else -1


def live_phone(text: str) -> int:
    """The last row of digits, and the word after it that may say what it is."""
    offset = max(0, len(text) - _REACH)
    if not text or (text[-1] not in "+(" and _DIGIT.search(text, offset) is None):
        return len(text)
    found = _TAIL.search(text, offset)
    return found.start() if found else len(text)
