"""What a character of a class is worth in tokens, by family of vocabularies.

Fitted by ``make calibrate-tokens`` on some thousand prompts in many languages, code and
mathematics among them; ``claude`` on the last vocabulary that Anthropic published, which its newer
models have left behind.  Of a character above ASCII only the first byte is counted, by its script.
"""

from __future__ import annotations

import string
from typing import Final

Class = str

ASCII: Final = 6
"""So many of the classes are of ASCII; plain texts have no others."""

CLASSES: Final[dict[Class, bytes]] = {
    "lower": string.ascii_lowercase.encode(),
    "upper": string.ascii_uppercase.encode(),
    "digit": string.digits.encode(),
    "space": b" ",
    "line": b"\n\r\t",
    "mark": string.punctuation.encode(),
    "latin": bytes(range(0xC2, 0xCE)),
    "greek_cyrillic": bytes(range(0xCE, 0xD5)),
    "semitic": bytes(range(0xD5, 0xE0)),
    "indic_thai": b"\xe0",
    "other": b"\xe1\xe2\xef",
    "han_kana": bytes(range(0xE3, 0xEA)),
    "hangul": bytes(range(0xEA, 0xEF)),
    "emoji": bytes(range(0xF0, 0xF5)),
}

WEIGHTS: Final[dict[str, dict[Class, float]]] = {
    "o200k": {
        "lower": 0.1992,
        "upper": 0.3804,
        "digit": 0.7445,
        "space": 0.1343,
        "line": 0.5943,
        "mark": 0.6032,
        "latin": 0.5833,
        "greek_cyrillic": 0.2871,
        "semitic": 0.3176,
        "indic_thai": 0.3547,
        "other": 1.0148,
        "han_kana": 0.7874,
        "hangul": 0.6506,
        "emoji": 3.217,
    },
    "cl100k": {
        "lower": 0.204,
        "upper": 0.3946,
        "digit": 0.7421,
        "space": 0.1329,
        "line": 0.5411,
        "mark": 0.5928,
        "latin": 1.8023,
        "greek_cyrillic": 0.5353,
        "semitic": 0.8555,
        "indic_thai": 1.1845,
        "other": 1.6661,
        "han_kana": 1.0791,
        "hangul": 1.177,
        "emoji": 3.3864,
    },
    "claude": {
        "lower": 0.2135,
        "upper": 0.4459,
        "digit": 0.5517,
        "space": 0.1002,
        "line": 0.8261,
        "mark": 0.6864,
        "latin": 2.9363,
        "greek_cyrillic": 0.5909,
        "semitic": 1.0992,
        "indic_thai": 1.4625,
        "other": 1.1945,
        "han_kana": 1.0394,
        "hangul": 1.3536,
        "emoji": 0.4228,
    },
    "default": {
        "lower": 0.2135,
        "upper": 0.4459,
        "digit": 0.7445,
        "space": 0.1343,
        "line": 0.8261,
        "mark": 0.6864,
        "latin": 2.9363,
        "greek_cyrillic": 0.5909,
        "semitic": 1.0992,
        "indic_thai": 1.4625,
        "other": 1.6661,
        "han_kana": 1.0791,
        "hangul": 1.3536,
        "emoji": 3.3864,
    },
}
