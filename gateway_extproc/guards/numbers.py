"""Card numbers, IBANs and US social security numbers, by checksum and by rule.

Every finder is *local*: whether ``[start, end)`` is a value depends only on the
characters in it, up to two before it and two after it.  That is what lets a stream be
cut anywhere.  Each ``live_*`` says from where on the end of a text may still become a
value (or a longer one), so that everything before it is settled.
"""

from __future__ import annotations

import re

from gateway_extproc.guards.located import Located

Spans = list[tuple[int, int]]


def merged(spans: Spans) -> Spans:
    """Overlapping readings of one stretch of text are one value; in order."""
    whole: Spans = []
    for start, end in sorted(spans):
        if whole and start < whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


_CARD_MIN, _CARD_MAX = 12, 19
_DOUBLED = str.maketrans("0123456789", "0246813579")
_SEPARATORS = str.maketrans("", "", " -")
_DIGITS = frozenset("0123456789")

# The first class is consumed before what stands before it is looked at: so the search skips.
_CARD_START = re.compile(
    r"[0-6](?<![0-9].)(?<=(?:[2-6]|1(?=800)|0(?=604)))(?=[0-9]{3}(?:[ -]?[0-9]){8})", re.DOTALL
)
_CARD_STARTS = Located(_CARD_START, {"[^0-9][0-6][0-9]{4}": 5, "[^0-9][0-6][0-9]{3}[ -][0-9]": 6})
_CARD_RUN = re.compile(r"[0-9]+(?:[ -][0-9]+)*+")
_CARD_REACH = 2 * (_CARD_MAX + 1)
"""Digits and separators that surely hold one digit more than a card number has."""
_GROUPS = re.compile(r"[0-9]{4,20}+(?:[ -][0-9]{1,20}+){0,15}")
CARDS_MAX = 4_000
"""Beginnings of card numbers, and of IBANs, looked at in one text; what has the form behind
them is taken as it is, and all of the text behind twice as many.  No honest text has so many, and
the time stays bounded."""

# Issuer prefixes with the lengths they are issued in (ISO/IEC 7812, the networks' tables).
_ISSUERS = re.compile(
    r"""4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})                                # Visa
    |(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}  # Mastercard
    |3[47][0-9]{13}                                                       # American Express
    |3(?:0[0-59][0-9]|[689][0-9]{2})[0-9]{10,15}                          # Diners Club
    |35[0-9]{14,17}|(?:2131|1800)[0-9]{11}                                # JCB
    |(?:50|5[6-9]|6[0-9])[0-9]{10,17}|0604[0-9]{8,15}    # Discover, UnionPay, Maestro
    """,
    re.VERBOSE,
)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812 check digit."""
    plain = digits[::-2].encode()
    doubled = digits[-2::-2].translate(_DOUBLED).encode()
    return (sum(plain) + sum(doubled) - 48 * len(digits)) % 10 == 0


def is_card(digits: str) -> bool:
    """True for digits that a card network could have issued."""
    return _ISSUERS.fullmatch(digits) is not None and luhn(digits)


def find_cards(text: str) -> Spans:
    """Card numbers, with single spaces or dashes between groups of digits.

    A number begins and ends with its group of digits, so it is never a part of a
    longer run.  The first group has at least four digits, as every network prints it,
    and only the last one may be a single digit: lists of small numbers would pass the
    check digit too often.
    """
    spans: Spans = []
    masked = 0
    for looked_at, match in enumerate(_CARD_STARTS.finditer(text)):
        start = match.start()
        if start < masked or _is_fraction(text, start):
            continue
        if looked_at >= 2 * CARDS_MAX:
            return [*spans, (start, len(text))]
        if looked_at >= CARDS_MAX:
            run = _CARD_RUN.match(text, start)
            masked = run.end() if run else start + _CARD_MIN
            spans.append((start, masked))
            continue
        best = _longest_card(text, start)
        if best:
            spans.append((start, best))
    return spans


def _is_fraction(text: str, start: int) -> bool:
    return start >= 2 and text[start - 1] in ".," and text[start - 2] in _DIGITS


def _longest_card(text: str, start: int) -> int:
    """The end of the longest number that begins at ``start`` and ends with a group, or 0."""
    digits, end, best = "", start - 1, 0
    for group in _GROUPS.match(text, start, start + _CARD_REACH)[0].replace("-", " ").split(" "):  # type: ignore[index]
        digits += group
        end += len(group) + 1
        if len(digits) > _CARD_MAX:
            break
        if len(digits) >= _CARD_MIN and is_card(digits):
            best = end
        if len(group) < 2:
            break
    return best


# ------------------------------------------------------------------------------- SSN

_SSN = re.compile(
    r"[0-8](?<![0-9].)(?<![0-9][ -].)(?=([0-9]{2}([ -])(?!00)[0-9]{2}\2(?!0000)[0-9]{4})"
    r"(?![0-9])(?!-[0-9]))",
    re.DOTALL,
)
_SSNS = Located(
    _SSN, {f"[^0-9][0-8][0-9]{{2}}{mark}[0-9]{{2}}{mark}[0-9]{{4}}": 11 for mark in " -"}
)


def find_ssns(text: str) -> Spans:
    """Numbers that the Social Security Administration could have issued.

    Area, group and serial are never all zeros, the area is never 666 or 900 to 999.
    Nine bare digits are not taken: too many other things look like that.
    """
    return [
        (match.start(), match.end(1))
        for match in _SSNS.finditer(text)
        if text[match.start() : match.start() + 3] not in ("000", "666")
    ]


def _live_digits(text: str, most: int) -> int:
    """Where a number of up to ``most`` digits could begin that reaches the text's end.

    Walks back over the trailing run of digits and single separators: at most
    ``most`` steps of each, whatever the text's length.
    """
    live = position = len(text)
    digits = 0
    while position and digits <= most:
        char = text[position - 1]
        before = text[position - 2] if position > 1 else ""
        if char in _DIGITS:
            digits += 1
            if before not in _DIGITS and digits <= most:
                live = position - 1
        elif char not in " -" or before not in _DIGITS:
            break
        position -= 1
    return live


def live_card(text: str) -> int:
    return _live_digits(text, _CARD_MAX)


def live_ssn(text: str) -> int:
    return _live_digits(text, 9)


# ------------------------------------------------------------------------------ IBAN

# Lengths by country, from the IBAN registry (SWIFT, ISO 13616).
_BY_LENGTH = {
    15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK", 21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST",
    26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_LENGTHS = {country: n for n, countries in _BY_LENGTH.items() for country in countries.split()}
_BODIES = {
    n: re.compile(rf"[A-Za-z0-9](?:[ -]?[A-Za-z0-9]){{{n - 1}}}(?![A-Za-z0-9])") for n in _BY_LENGTH
}
_COUNTRIES = "|".join(sorted(_LENGTHS))
_IBAN_START = re.compile(
    rf"(?<![A-Za-z0-9])(?i:{_COUNTRIES})[0-9]{{2}}(?=(?:[ -]?[A-Za-z0-9]){{11}})"
)
_IBAN_STARTS = Located(
    _IBAN_START,
    {
        f"[^A-Za-z0-9](?i:{_COUNTRIES})[0-9]{{2}}[A-Za-z0-9]": 5,
        f"[^A-Za-z0-9](?i:{_COUNTRIES})[0-9]{{2}}[ -][A-Za-z0-9]": 6,
    },
)
_IBAN_TAIL = re.compile(
    r"(?<![A-Za-z0-9])(?=([A-Za-z]{1,2}\Z|[A-Za-z]{2}[0-9]{1,2}(?:[ -]?[A-Za-z0-9])*+[ -]?\Z))"
)
_AS_NUMBERS = {code: str(code - 55) for code in range(65, 91)}
_DIGIT = re.compile("[0-9]")
_INITIALS = frozenset(country[0] for country in _LENGTHS)
_ALNUM_OR_SEPARATOR = frozenset(" -ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_IBAN_REACH = 2 * 33 + 1
"""Characters of the longest IBAN, each followed by a separator, and the one before."""


def is_iban(compact: str) -> bool:
    """ISO 7064 mod 97-10 over an upper-case IBAN of the right length."""
    rearranged = compact[4:] + compact[:4]
    return int(rearranged.translate(_AS_NUMBERS)) % 97 == 1


def find_ibans(text: str) -> Spans:
    """IBANs of the registered countries, compact or with single spaces or dashes."""
    spans: Spans = []
    for looked_at, start in enumerate(_IBAN_STARTS.finditer(text)):
        length = _LENGTHS.get(start[0][:2].upper())
        if looked_at >= 2 * CARDS_MAX:
            return [*spans, (start.start(), len(text))]
        body = _BODIES[length].match(text, start.start()) if length else None
        if body and (looked_at >= CARDS_MAX or is_iban(body[0].translate(_SEPARATORS).upper())):
            spans.append(body.span())
    return spans


def live_iban(text: str) -> int:
    """Where an IBAN could begin that reaches the text's end.

    In prose this is the last word while it has one or two letters that begin a
    country code, and nothing otherwise.
    """
    if not text or text[-1] not in _ALNUM_OR_SEPARATOR:
        return len(text)
    offset = max(0, len(text) - _IBAN_REACH)
    if _DIGIT.search(text, offset) is None:
        offset = max(0, len(text) - 2)  # no check digits: only a country code can be there
    for match in _IBAN_TAIL.finditer(text, offset):
        if _may_be_iban(match[1].translate(_SEPARATORS).upper()):
            return match.start()
    return len(text)


def _may_be_iban(compact: str) -> bool:
    if len(compact) == 1:
        return compact in _INITIALS
    return len(compact) <= _LENGTHS.get(compact[:2], 0)
