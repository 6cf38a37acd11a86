"""Keys of providers and private keys, found by their form.

Local in the same sense as ``numbers``: a value is decided by its own characters, up to 48
before it and one after it, and every length is bounded.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from gateway_extproc.guards.context import CANDIDATES_MAX
from gateway_extproc.guards.keyforms import HEX_KEYS, KEY_FORMS, LONG, WORD, KeyForm
from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.scanner import HITS_MAX, Scanner

_PLACEHOLDERS = (
    "xxxxx", "example", "your", "insert", "placeholder", "changeme", "redacted", "dummy",
    "token_here", "key_here", "....", "****", "####", "abcdefgh", "stringhere",
)  # fmt: skip


def is_placeholder(value: str) -> bool:
    """True for what people write where a secret would stand: xxxxx, EXAMPLE, one letter."""
    low = value.lower()
    if any(word in low for word in _PLACEHOLDERS):
        return True
    kinds = set(low)
    return len(low) >= 16 and (len(kinds) < 7 or 2 * max(map(low.count, kinds)) > len(low))


@dataclass(frozen=True, slots=True)
class _Compiled:
    form: KeyForm
    match: re.Pattern[str]
    before: re.Pattern[str] | None

    @classmethod
    def of(cls, form: KeyForm) -> _Compiled:
        body = form.body or f"[{form.chars}]{{{form.least},{form.most}}}"
        # A body of fixed length ends there; a longer run of its alphabet is something else.
        end = "(?![A-Za-z0-9_-])" if form.chars.startswith(WORD) else "(?![A-Za-z0-9])"
        if form.most == LONG:
            end = ""
        before = re.compile(rf"(?<![A-Za-z0-9])(?:{form.before})\Z") if form.before else None
        return cls(form, re.compile(re.escape(form.prefix) + body + end, re.ASCII), before)


_HEAD_MOST = 12
"""Characters behind the prefix that the scanner asks for; more make its tables large."""


def _head_least(form: KeyForm) -> int:
    return min(form.least, _HEAD_MOST)


def _head(form: KeyForm) -> str:
    """An expression of fixed length for the scanner, with what must stand before it."""
    edge = "" if form.before or not form.prefix[0].isalnum() else "(?:^|[^A-Za-z0-9])"
    body = f"[{form.chars}]{{{_head_least(form)}}}" if form.least else ""
    return edge + re.escape(form.prefix) + body


_COMPILED: Final = tuple(map(_Compiled.of, KEY_FORMS))
_SCANNER: Final = Scanner([_head(form) for form in KEY_FORMS])
_BEFORE_REACH = 48
_WIDTHS: Final = [len(form.prefix) + _head_least(form) for form in KEY_FORMS]

_PEM_BEGIN = "-----BEGIN "
PEM_GATE: Final = (r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY",)
GATE: Final = (r"[A-Za-z0-9_.~+/:=%|-]{16}", *PEM_GATE)
"""Every key is a run of such characters: one expression for all forms, because each worker compiles
it for each direction; ``_SCANNER`` is compiled once, before workers are forked."""


def find_keys(text: str) -> Spans:
    """Keys of known providers, our own keys, and private keys with their body."""
    starts: dict[int, list[int]] = {}
    hits = _SCANNER.hits(text)
    for ident, end in hits:
        starts.setdefault(ident, []).append(end - _WIDTHS[ident])
    spans = find_private_keys(text)
    for mark, shape in HEX_KEYS.items():
        if mark in text:
            found = shape.find(text)
            spans += [s for s in found[:CANDIDATES_MAX] if not is_placeholder(text[slice(*s)])]
            spans += found[CANDIDATES_MAX:]
    for ident, places in starts.items():
        spans += _keys_of(text, _COMPILED[ident], sorted(places))
    if len(hits) >= HITS_MAX:
        spans.append((hits[-1][1], len(text)))
    return merged(spans)


def _keys_of(text: str, compiled: _Compiled, starts: list[int]) -> Spans:
    """Keys of one form.  A key that begins inside of another one adds nothing, unless that
    one is as long as they get; then the last that begins in it may go on behind its end.
    """
    spans: Spans = []
    longest = len(compiled.form.prefix) + compiled.form.most
    index = 0
    while index < len(starts):
        start = starts[index]
        index += 1
        match = _match(text, compiled, start)
        if match is None:
            continue
        if index > CANDIDATES_MAX or _is_key(compiled.form, match[0]):
            spans.append(match.span())
        after = bisect_left(starts, match.end(), index)
        index = after if match.end() - start < longest else max(index, after - 1)
    return spans


def _match(text: str, compiled: _Compiled, start: int) -> re.Match[str] | None:
    return compiled.match.match(text, start) if _may_stand(text, start, compiled) else None


_DIGIT = re.compile("[0-9]")
_LONG_PART = re.compile("[A-Za-z0-9]{12}")


def _is_key(form: KeyForm, found: str) -> bool:
    """Words after a prefix such as ``sk-`` are no key, nor are placeholders."""
    if not form.entropy:
        return True
    body = found[len(form.prefix) :]
    if is_placeholder(body):
        return False
    if form.issuer in ("openai", "openrouter"):
        return _LONG_PART.search(body) is not None and _DIGIT.search(body) is not None
    if form.issuer == "huggingface":
        return _IS_WORDS.fullmatch(body) is None
    return form.issuer == "azure" or len(body) < 20 or _DIGIT.search(body) is not None


_IS_WORDS = re.compile("(?:[A-Z]?[a-z]{3,}){4,}")

# ------------------------------------------------------------------------- private keys
_PEM_BODY_MAX = 6000
_PEM_LABEL = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PEM_TEXT = r"(?:[A-Za-z0-9+/=\s:,]|\\[nr]|-(?!-))"
_PEM = re.compile(
    rf"{_PEM_BEGIN}{_PEM_LABEL}"
    rf"(?:{_PEM_TEXT}{{0,{_PEM_BODY_MAX}}}+-----END {_PEM_LABEL}"
    rf"|(?:(?:\s|\\[nr]){{0,8}}[A-Za-z0-9+/]{{24,80}}={{0,2}}){{0,60}})"
)
_PEM_KEY = re.compile("[A-Za-z0-9+/]{24}")
_PEM_LIVE = re.compile(
    rf"{_PEM_BEGIN}(?:[A-Z0-9 ]{{0,60}}-{{0,4}}|{_PEM_LABEL}{_PEM_TEXT}{{0,{_PEM_BODY_MAX}}}+"
    rf"(?:\\|-|-----END [A-Z0-9 ]{{0,60}}-{{0,4}}|-----(?:E|EN|END)?|-{{2,4}})?)\Z"
)
_PEM_REACH = _PEM_BODY_MAX + 200


def find_private_keys(text: str) -> Spans:
    """PEM private keys.  Without an end mark the header and the lines of base64 after it.

    A header alone, or with a word for the key, is none.
    """
    if _PEM_BEGIN not in text:
        return []
    return [pem.span() for pem in _PEM.finditer(text) if _PEM_KEY.search(pem[0])]


# --------------------------------------------------------------------------------- live

_CHARS = {
    form: frozenset(
        char
        for char in map(chr, range(33, 127))
        if re.match(f"[{form.chars}]", char) or (form.body and re.match(r"[\w./%=|@-]", char))
    )
    for form in KEY_FORMS
}
_BY_PREFIX: dict[str, list[_Compiled]] = {}
for _each in _COMPILED:
    _BY_PREFIX.setdefault(_each.form.prefix, []).append(_each)
_BEGINNINGS: dict[str, list[_Compiled]] = {}
for _each in _COMPILED:
    for _n in range(1, len(_each.form.prefix) + 1):
        _BEGINNINGS.setdefault(_each.form.prefix[:_n], []).append(_each)
_LONGEST_PREFIX = max(map(len, _BY_PREFIX))
_REACH = max(len(form.prefix) + form.most for form in KEY_FORMS)
_ANY_CHAR = "".join(sorted(frozenset().union(*_CHARS.values()))) + "~:"


def _prefix_expression(prefixes: list[str]) -> str:
    """An alternation with one branch a first character, so that a wrong one costs one step."""
    by_first: dict[str, list[str]] = {}
    for prefix in prefixes:
        by_first.setdefault(prefix[:1], []).append(prefix[1:])
    branches = []
    for first, rests in sorted(by_first.items()):
        rest = _prefix_expression([r for r in rests if r]) if any(rests) else ""
        optional = "?" if "" in rests else ""
        branches.append(re.escape(first) + (f"(?:{rest}){optional}" if rest else ""))
    return "|".join(branches)


_HEX_KEY_CHARS = frozenset("0123456789abcdef-usNRAL")
_START = re.compile(rf"(?={_prefix_expression(sorted(_BY_PREFIX))})")


def live_key(text: str) -> int:
    """Where a key or a private key could begin that reaches the text's end.

    A key that ends inside of what may become a private key is one with it, so it waits, too.
    """
    private = live_private_key(text)
    live = min(_live_form(text), private)
    if text and text[-1] in _HEX_KEY_CHARS:
        live = min(live, *(shape.live(text) for shape in HEX_KEYS.values()))
    if private < len(text):
        live = min([live, *(start for start, end in find_keys(text) if start < live < end)])
    return live


def _live_form(text: str) -> int:
    offset = max(0, len(text) - _REACH)
    tail = text[-64:]
    kept = len(tail.rstrip(_ANY_CHAR))
    if not kept and offset < len(text) - 64:
        tail = text[offset:]
        kept = len(tail.rstrip(_ANY_CHAR))
    run = len(text) - len(tail) + kept
    live = len(text)
    for match in _START.finditer(text, run):
        if _may_begin(text, match.start()):
            live = match.start()
            break
    for position in range(max(run, len(text) - _LONGEST_PREFIX), live):
        forms = _BEGINNINGS.get(text[position:])
        if forms and any(_may_stand(text, position, compiled) for compiled in forms):
            return position
    return live


def _may_begin(text: str, start: int) -> bool:
    rest = text[start : start + _LONGEST_PREFIX]
    for length in range(1, len(rest) + 1):
        for compiled in _BY_PREFIX.get(rest[:length], ()):
            form = compiled.form
            body = text[start + length :]
            if (
                len(body) <= form.most
                and _CHARS[form].issuperset(body)
                and _may_stand(text, start, compiled)
            ):
                return True
    return False


def _may_stand(text: str, start: int, compiled: _Compiled) -> bool:
    """True if what stands before ``start`` lets a key of this form begin there."""
    if compiled.form.named and not _is_named(text, start):
        return False
    if compiled.before:
        return compiled.before.search(text, max(0, start - _BEFORE_REACH), start) is not None
    before = text[start - 1 : start]
    return not (before.isalnum() and before.isascii() and compiled.form.prefix[0].isalnum())


_NAME = re.compile(
    "key|token|secret|credential|auth|pass|api|google|gemini|firebase|vertex|maps|cloud"
    "|schlüssel|clé|clave|chave|chiave|sleutel|ключ|キー|키|密钥|金鑰|密码",
    re.IGNORECASE,
)
_SET = "\"'`=:(>：［「"


def _is_named(text: str, start: int) -> bool:
    """True if a word for a secret stands shortly before, or a sign that sets a value."""
    reach = max(0, start - _BEFORE_REACH)
    set_to = text[max(reach, start - 8) : start].rstrip()[-1:]
    return (set_to != "" and set_to in _SET) or _NAME.search(text, reach, start) is not None


def live_private_key(text: str) -> int:
    position = text.find(_PEM_BEGIN, max(0, len(text) - _PEM_REACH))
    while position >= 0:
        if _PEM_LIVE.match(text, position):
            return position
        position = text.find(_PEM_BEGIN, position + 1)
    dash = text.rfind("-", max(0, len(text) - len(_PEM_BEGIN)))
    for length in range(min(len(_PEM_BEGIN), len(text)) if dash >= 0 else 0, 0, -1):
        if text.endswith(_PEM_BEGIN[:length]):
            return len(text) - length
    return len(text)
