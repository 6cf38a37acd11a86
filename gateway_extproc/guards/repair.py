"""JSON that a model wrote with small faults, put right where only one reading is possible.

Done: what stands around the value goes (prose, code fences); a comma before the end goes; single
quotes become double ones where nothing in them could be their end; Python's True, False
and None are written as JSON; line ends inside strings are escaped; a tail that was cut
off is closed.  Of a cut tail the last value goes with its name unless it is complete: half a
number or half a text would be another one.  All else stays wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import orjson

REPAIR_CHARS_MAX: Final = 100_000
"""A longer text is not repaired."""
_CANDIDATES_MAX: Final = 8
"""Values in one text that are tried."""
_NESTED_MAX: Final = 64

_TOKEN: Final = re.compile(
    r"""[{}\[\],:]|"[^"\\]*(?:\\.[^"\\]*)*"|'[^'"\\\n]*'|[^\s{}\[\],:"']+|["']""", re.DOTALL
)
_FENCE: Final = re.compile(r"```[\w-]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_OPEN: Final = re.compile(r"[{\[]")
_CLOSER: Final = {"{": "}", "[": "]"}
_WORDS: Final = {"True": "true", "False": "false", "None": "null"}
_COMPLETE: Final = frozenset({"true", "false", "null"})
_BEFORE_VALUE: Final = frozenset("{[,:")
_AFTER_VALUE: Final = frozenset("}],:")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")


def repaired(text: str) -> Iterator[str]:
    """What JSON the text may have meant; none, one, or several that stand in it."""
    if len(text) > REPAIR_CHARS_MAX:
        return
    fences = [fence[1] for fence in _FENCE.finditer(text) if _OPEN.match(fence[1].lstrip())]
    source = fences[0] if len(fences) == 1 else text
    position = 0
    for _ in range(_CANDIDATES_MAX):
        opening = _OPEN.search(source, position)
        if opening is None:
            return
        value = _Value(source, opening.start())
        if value.text is not None:
            yield value.text
        position = value.end


class _Value:
    """One value of a text, from its first bracket on; ``text`` None if it is none."""

    def __init__(self, source: str, start: int) -> None:
        self._source = source
        self._out: list[str] = []
        self._open: list[str] = []
        self.end = start + 1
        self.text = self._read(start)

    def _read(self, start: int) -> str | None:
        """The value as JSON; ``end`` is then where it ends, or where it cannot go on."""
        last = start
        for token, following in _with_following(_TOKEN.finditer(self._source, start)):
            if token[0] == '"':
                break  # this string has no end
            self.end = last = token.end()
            if not self._take(token[0], following):
                return None
            if not self._open:
                return "".join(self._out)
        self.end = len(self._source)
        return self._close(cut=last == len(self._source))

    def _take(self, sign: str, following: str) -> bool:
        """False for what has no place in JSON and cannot be put right."""
        out = self._out
        if sign in _CLOSER:
            self._open.append(sign)
            out.append(sign)
            return len(self._open) <= _NESTED_MAX
        if sign in "}]":
            if _CLOSER[self._open.pop()] != sign:
                return False
            if out[-1] == "," and out[-2] not in _CLOSER:
                out.pop()
            out.append(sign)
        elif sign[0] == "'":
            if len(sign) == 1 or out[-1] not in _BEFORE_VALUE or following not in _AFTER_VALUE:
                return False
            out.append(orjson.dumps(sign[1:-1]).decode())
        elif sign[0] == '"':
            out.append(_CONTROL.sub(_escaped, sign))
        else:
            out.append(_WORDS.get(sign, sign))
        return True

    def _close(self, *, cut: bool) -> str:
        """What was read, without its incomplete end, and with the brackets that it lacks."""
        out = self._out
        if cut and out[-1][0] not in '{}[],:"' and out[-1] not in _COMPLETE:
            out.pop()
        while len(out) > 1:
            if out[-1] == ":":
                del out[-2:]
            elif out[-1] == "," or self._ends_with_name():
                out.pop()
            else:
                break
        return "".join(out) + "".join(_CLOSER[opening] for opening in reversed(self._open))

    def _ends_with_name(self) -> bool:
        out = self._out
        return self._open[-1] == "{" and out[-1][0] == '"' and out[-2] in ("{", ",")


def _with_following(tokens: Iterator[re.Match[str]]) -> Iterator[tuple[re.Match[str], str]]:
    """Each token with the first character of the one after it."""
    token = next(tokens, None)
    while token is not None:
        after = next(tokens, None)
        yield token, after[0][0] if after else ""
        token = after


def _escaped(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"
