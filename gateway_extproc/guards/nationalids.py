"""National identity and tax numbers, by their check digits.

Where the check leaves one number in ten or more, and the number is bare digits, a word
near it must say what it is.  Sources: the issuing offices' public rules, named at each check.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import mul
from string import ascii_uppercase
from typing import Final

from gateway_extproc.guards.context import CANDIDATES_MAX, ContextWords, stands_near
from gateway_extproc.guards.numbers import Spans, luhn
from gateway_extproc.guards.shapes import Shape

_STRIP = str.maketrans("", "", " .-/")


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    """The weighted sum; digits beyond the last weight do not count."""
    return int(sum(map(mul, digits.encode(), weights))) - 48 * sum(weights)


def is_nino(value: str) -> bool:
    """HMRC, NIM39110: two prefix letters never issued together."""
    return value[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def is_dni(value: str) -> bool:
    """Ministerio del Interior: the letter is the number mod 23; X, Y, Z of a NIE are 0, 1, 2."""
    digits = value[:-1].upper().translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"})
    return _DNI_LETTERS[int(digits) % 23] == value[-1].upper()


_CF_DIGIT_FOR = str.maketrans("LMNPQRSTUV", "0123456789")
_CF_ODD = dict(
    zip(
        "0123456789" + ascii_uppercase,
        (
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            2,
            4,
            18,
            20,
            11,
            3,
            6,
            8,
            12,
            14,
            16,
            10,
            22,
            25,
            24,
            23,
        ),
        strict=True,
    )
)


def is_codice_fiscale(value: str) -> bool:
    """Decree of 23 December 1976: control letter over odd and even places."""
    day = int(value[9:11].translate(_CF_DIGIT_FOR))
    even = sum(int(char) if char.isdigit() else ord(char) - 65 for char in value[1:15:2])
    total = sum(_CF_ODD[char] for char in value[0:15:2]) + even
    return 1 <= day <= 71 and chr(65 + total % 26) == value[15]


def is_nir(value: str) -> bool:
    """INSEE: key = 97 - number mod 97; Corsica's 2A and 2B count as 19 and 18."""
    number = value[:-2].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(value[-2:])


def is_steuer_id(value: str) -> bool:
    """BZSt: one digit of the first ten comes two or three times; ISO 7064 mod 11,10."""
    counts = sorted(Counter(value[:10]).values())
    if value[0] == "0" or counts[-1] not in (2, 3) or counts[-2] > 1:
        return False
    product = 10
    for digit in value[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(value[10])


def is_bsn(value: str) -> bool:
    """Logisch Ontwerp BSN: the eleven test, last weight -1."""
    return value != "000000000" and _weighted(value, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def is_pesel(value: str) -> bool:
    """Ministerstwo Cyfryzacji: date of birth with the century in the month, weights 1 3 7 9."""
    month, day = int(value[2:4]) % 20, int(value[4:6])
    check = _weighted(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1))
    return 1 <= month <= 12 and 1 <= day <= 31 and check % 10 == 0


_CPF_WEIGHTS = (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)


def is_cpf(value: str) -> bool:
    """Receita Federal: two check digits mod 11; eleven equal digits are no number."""
    if value == value[0] * 11:
        return False
    first = _weighted(value, _CPF_WEIGHTS[1:]) * 10 % 11 % 10
    second = _weighted(value, _CPF_WEIGHTS) * 10 % 11 % 10
    return value[9:] == f"{first}{second}"


# The dihedral group D5 and the permutation of Verhoeff's scheme, as UIDAI uses it.
_D5 = tuple(
    tuple(
        ((i + j) % 5 if j < 5 else 5 + (i + j) % 5)
        if i < 5
        else (5 + (i - j) % 5 if j < 5 else (i - j) % 5)
        for j in range(10)
    )
    for i in range(10)
)
_PERMUTE = [tuple(range(10)), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)]
for _ in range(6):
    _PERMUTE.append(tuple(_PERMUTE[1][digit] for digit in _PERMUTE[-1]))


def is_aadhaar(value: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(value)):
        check = _D5[check][_PERMUTE[place % 8][int(digit)]]
    return check == 0 and value != value[::-1]


def is_tfn(value: str) -> bool:
    """Australian Taxation Office: weights 1 4 3 7 5 8 6 9 10, mod 11."""
    return _weighted(value, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def is_sin(value: str) -> bool:
    """Employment and Social Development Canada: Luhn; 8 is not issued."""
    return value[0] not in "08" and luhn(value)


@dataclass(frozen=True, slots=True)
class NationalId:
    """``needs`` tells, of the value as written, whether a context word must stand near it."""

    name: str
    placeholder: str
    gate: str
    shape: Shape
    check: Callable[[str], bool]
    words: ContextWords | None = None
    needs: Callable[[str], bool] = bool

    def find(self, text: str) -> Spans:
        found = self.shape.find(text)
        looked_at, rest = found[:CANDIDATES_MAX], found[CANDIDATES_MAX:]
        if found and self.words is not None:
            ends = self.words.ends(text)
            looked_at = [
                (start, end)
                for start, end in looked_at
                if stands_near(ends, start) or not self.needs(text[start:end])
            ]
        check = self.check
        return [
            (start, end) for start, end in looked_at if check(text[start:end].translate(_STRIP))
        ] + rest

    def live(self, text: str) -> int:
        return self.shape.live(text)


_BARE = re.compile("[0-9]+")


def _is_bare(value: str) -> bool:
    return _BARE.fullmatch(value) is not None


_CF_MONTH, _CF_NUM = "[ABCDEHLMPRST]", "[0-9LMNPQRSTUV]"

NATIONAL_IDS: Final = (
    NationalId(
        "uk_nino",
        "[NINO]",
        r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b",
        Shape(
            "[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ ]?[0-9][0-9][ ]?[0-9][0-9][ ]?[0-9][0-9][ ]?[A-D]"
        ),
        is_nino,
    ),
    NationalId(
        "es_dni",
        "[DNI]",
        r"\b[0-9XYZxyz][ .-]?[0-9]{1,7}\.?[0-9]{0,3}\.?[0-9]{0,3}[ -]?[A-Za-z]\b",
        Shape("[0-9XYZxyz][ -]?[0-9]{7}[ -]?[A-HJ-NP-TV-Za-hj-np-tv-z]"),
        is_dni,
    ),
    NationalId(
        "it_codice_fiscale",
        "[CODICE_FISCALE]",
        rf"\b[A-Z]{{6}}{_CF_NUM}{{2}}{_CF_MONTH}{_CF_NUM}{{2}}[A-Z]{_CF_NUM}{{3}}[A-Z]\b",
        Shape(f"[A-Z]{{6}}{_CF_NUM}{{2}}{_CF_MONTH}{_CF_NUM}{{2}}[A-Z]{_CF_NUM}{{3}}[A-Z]"),
        is_codice_fiscale,
    ),
    NationalId(
        "fr_nir",
        "[NIR]",
        r"\b[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b",
        Shape(
            "[12][ ]?[0-9][0-9][ ]?[0-9][0-9][ ]?[0-9][0-9AB][ ]?[0-9]{3}[ ]?[0-9]{3}[ ]?[0-9][0-9]"
        ),
        is_nir,
    ),
    NationalId(
        "de_steuer_id",
        "[STEUER_ID]",
        r"\b[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}\b",
        Shape("[1-9][0-9][ ]?[0-9]{3}[ ]?[0-9]{3}[ ]?[0-9]{3}"),
        is_steuer_id,
        ContextWords(
            "steuer-id, steuerid, steuer id, idnr, id-nr, tin, steuernummer, steuernr, tax, "
            "tax id, identifikationsnummer, steueridentifikationsnummer, "
            "steuer-identifikationsnummer, steuerliche"
        ),
    ),
    NationalId(
        "nl_bsn",
        "[BSN]",
        r"\b[0-9]{4}[ .-]?[0-9]{2}[ .-]?[0-9]{3}\b|\b[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{3}\b",
        Shape("[0-9]{3}[ .-]?[0-9][ .-]?[0-9]{2}[ .-]?[0-9]{3}"),
        is_bsn,
        ContextWords(
            "bsn, burgerservicenummer, burger service nummer, sofi, sofinummer, bsn-nummer"
        ),
    ),
    NationalId("pl_pesel", "[PESEL]", r"\b[0-9]{11}\b", Shape("[0-9]{11}"), is_pesel),
    NationalId(
        "br_cpf",
        "[CPF]",
        r"\b[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}\b",
        Shape("[0-9]{3}[.]?[0-9]{3}[.]?[0-9]{3}[-]?[0-9][0-9]"),
        is_cpf,
    ),
    NationalId(
        "in_aadhaar",
        "[AADHAAR]",
        r"\b[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}\b",
        Shape("[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}"),
        is_aadhaar,
        ContextWords("aadhaar, aadhar, adhaar, adhar, uidai, uid, आधार"),
        _is_bare,
    ),
    NationalId(
        "ca_sin",
        "[SIN]",
        r"\b[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}\b",
        Shape("[1-79][0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3}"),
        is_sin,
        ContextWords(
            "sin, s.i.n, social insurance, social insurance number, nas, assurance sociale"
        ),
    ),
    NationalId(
        "au_tfn",
        "[TFN]",
        r"\b[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}\b",
        Shape("[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}"),
        is_tfn,
        ContextWords("tfn, tax file, tax file number, tax file no"),
    ),
)
