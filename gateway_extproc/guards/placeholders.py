"""What stands for masked values while a model reads them, and the way back.

A placeholder is ``[KIND-N]``, for instance ``[EMAIL-1]``:

- ASCII without quotes, backslashes, underscores, angle or curly brackets: JSON, HTML, XML,
  Markdown, LaTeX and templates write it as it is.  ``[EMAIL_1]`` comes back from models as
  ``[EMAIL\\_1]``, ``<EMAIL_1>`` as a tag; a rare bracket as ``\\u27e6`` in JSON arguments.
- five tokens of one to six ASCII characters in the common vocabularies; the type tells the
  model what it stands for, so that the grammar of its answer is right.
- it begins with ``[`` and holds no other one: a stream waits from the last ``[`` on, and
  nothing that stands before or after it can become part of it.
- the number is never zero and never padded: one value, one spelling.

It is read with small liberties that models take: case, up to two spaces inside the
brackets, ``_`` for ``-``.  Every spelling that is read is also a spelling that collides.

A text of the client may hold what looks like a placeholder.  ``reserve`` keeps such names
from standing for a value, and takes them from values that have them: the client's
text comes back as it was, and gives nobody another one's value.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway_extproc.guards.hidden import GATE

VALUES_MAX: Final = 10_000
"""Values that one map holds; what comes after them is masked one-way."""
VALUE_BYTES_MAX: Final = 16 << 10
"""Bytes of one value; a private key has 6,000."""
BYTES_MAX: Final = 4 << 20
"""Bytes of all values of one map."""
CONVERSATION_BYTES_MAX: Final = 128 << 10
"""The same of a map that is kept between requests."""
RESERVED_MAX: Final = 20_000
"""Names that texts of clients hold; with more of them new values are masked one-way."""
KIND_MAX: Final = 24
_NUMBER_MAX: Final = 999_999

PLACEHOLDER: Final = re.compile(
    rf"\[ {{0,2}}([A-Za-z][A-Za-z0-9_-]{{0,{KIND_MAX}}}[_-][1-9][0-9]{{0,5}}) {{0,2}}\]"
)
"""Every spelling of a placeholder; group 1 is its name, to be given to ``canonical``."""
_NO_NAME: Final = re.compile(r"[^A-Z0-9]+")
_NUMBERED: Final = re.compile(r"-([0-9])")
_HIDDEN: Final = re.compile(GATE)
_BRACKET: Final = re.compile(r"[\[［]")
_FORMAT: Final = 1
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32


class PlaceholdersLost(Exception):
    """A kept map that this key, tenant or conversation does not open."""


def canonical(name: str) -> str:
    """The one spelling of a placeholder's name: ``email_1`` is ``EMAIL-1``."""
    return name.upper().replace("_", "-")


def kind_name(kind: str) -> str:
    """A kind as it stands in a placeholder: ``us_ssn`` is ``US-SSN``.

    No part of it is a number, so that ``[KIND]`` alone is no placeholder.
    """
    name = _NO_NAME.sub("-", kind.upper()).strip("-")[:KIND_MAX].rstrip("-")
    name = _NUMBERED.sub(r"\1", name)
    return name if name[:1].isalpha() else "VALUE"


class Placeholders:
    """The masked values of one request or conversation, each with its placeholder.

    ``texts`` are all texts of the request before masking.  Nothing prints or pickles
    the values; ``export`` gives them only encrypted.
    """

    __slots__ = (
        "_bytes",
        "_bytes_max",
        "_kinds",
        "_names",
        "_next",
        "_reserved",
        "_values",
        "changed",
    )

    def __init__(self, texts: Iterable[str] = (), *, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._names: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._reserved: set[str] = set()
        self._next: dict[str, int] = {}
        self._kinds: tuple[str, ...] = ()
        self._bytes = 0
        self.changed = False
        """Whether it holds something else than when it was made, or loaded."""
        self.reserve_all(texts)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Placeholders({len(self._values)} values)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("masked values are not serialised; export() encrypts them")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that placeholders of this map begin with."""
        return self._kinds

    def reserve_all(self, texts: Iterable[str]) -> None:
        """``reserve`` of each."""
        for text in texts:
            self.reserve(text)

    def reserve(self, text: str) -> None:
        """Keeps the names that a client's text holds from standing for a value."""
        for view in _views(text):
            for found in PLACEHOLDER.finditer(view):
                if len(self._reserved) > RESERVED_MAX and not self._values:
                    return
                name = canonical(found[1])
                if len(self._reserved) <= RESERVED_MAX and name not in self._reserved:
                    self._reserved.add(name)
                    self.changed = True
                value = self._values.pop(name, None)
                if value is not None:
                    self.changed = True
                    self._bytes -= _size(value)
                    del self._names[name.rpartition("-")[0], value]

    def for_value(self, kind: str, value: str) -> str:
        """The placeholder of a value, the same one each time.

        Where the map is full, ``[KIND]``: the value is masked and cannot be restored.
        """
        kind = kind_name(kind)
        name = self._names.get((kind, value)) or self._add(kind, value)
        return f"[{name or kind}]"

    def find(self, name: str) -> str | None:
        """The value of a name as ``PLACEHOLDER`` finds it; None when it is nobody's."""
        return self._values.get(canonical(name))

    def _add(self, kind: str, value: str) -> str | None:
        size = _size(value)
        number = self._free_number(kind)
        full = (
            len(self._values) >= VALUES_MAX
            or size > VALUE_BYTES_MAX
            or self._bytes + size > self._bytes_max
            or len(self._reserved) > RESERVED_MAX
            or number > _NUMBER_MAX
        )
        if full:
            return None
        name = f"{kind}-{number}"
        self._next[kind] = number + 1
        self._names[kind, value] = name
        self._values[name] = value
        self._bytes += size
        self.changed = True
        if kind not in self._kinds:
            self._kinds = (*self._kinds, kind)
        return name

    def _free_number(self, kind: str) -> int:
        number = self._next.get(kind, 1)
        while f"{kind}-{number}" in self._reserved:
            number += 1
        return number

    # ------------------------------------------------------------- kept per conversation

    def export(self, key: bytes, *, tenant: str, conversation: str, nonce: bytes) -> bytes:
        """The map encrypted, for a store; ``key`` of 32 bytes, ``nonce`` of 12 random ones.

        Opens only with the same tenant and conversation: they choose the key that encrypts.
        """
        state = {
            "values": [[name, value] for name, value in self._values.items()],
            "next": self._next,
            "reserved": sorted(self._reserved),
        }
        sealed = _cipher(key, tenant, conversation).encrypt(
            nonce, json.dumps(state).encode(), _place(tenant, conversation)
        )
        return bytes((_FORMAT,)) + nonce + sealed

    @classmethod
    def load(cls, blob: bytes, key: bytes, *, tenant: str, conversation: str) -> Placeholders:
        """What ``export`` gave; raises ``PlaceholdersLost``.

        The texts of the next request must be given to ``reserve`` before it is masked.
        """
        if blob[:1] != bytes((_FORMAT,)):
            raise PlaceholdersLost("not a map of placeholders of this version")
        nonce, sealed = blob[1 : 1 + NONCE_BYTES], blob[1 + NONCE_BYTES :]
        try:
            plain = _cipher(key, tenant, conversation).decrypt(
                nonce, sealed, _place(tenant, conversation)
            )
        except (InvalidTag, ValueError):
            raise PlaceholdersLost("the map of placeholders does not open") from None
        return cls._of(json.loads(plain))

    @classmethod
    def _of(cls, state: dict[str, Any]) -> Placeholders:
        loaded = cls(bytes_max=CONVERSATION_BYTES_MAX)
        loaded._reserved = set(state["reserved"])
        loaded._next = dict(state["next"])
        loaded._values = dict(state["values"])
        for name, value in loaded._values.items():
            loaded._names[name.rpartition("-")[0], value] = name
            loaded._bytes += _size(value)
        loaded._kinds = tuple(loaded._next)
        return loaded


def _size(value: str) -> int:
    return len(value.encode("utf-8", "surrogatepass"))


def _views(text: str) -> Iterable[str]:
    """The text, and as it reads without hidden characters and wide letters."""
    yield text
    if not text.isascii() and _BRACKET.search(text):
        yield unicodedata.normalize("NFKC", _HIDDEN.sub("", text))


def _place(tenant: str, conversation: str) -> bytes:
    """Tenant and conversation as associated data; no other pair gives the same bytes."""
    return json.dumps(["placeholders", _FORMAT, tenant, conversation]).encode()


def _cipher(key: bytes, tenant: str, conversation: str) -> AESGCM:
    """A key of its own for each conversation, so that nonces need not differ between them.

    NIST SP 800-38D 8.3 allows 2**32 random nonces for one key.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes, not {KEY_BYTES}")
    derive = HKDF(SHA256(), KEY_BYTES, salt=None, info=_place(tenant, conversation))
    return AESGCM(derive.derive(key))
