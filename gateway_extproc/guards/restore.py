"""Values out of a request and into its answer: masking that can be taken back.

``reversible`` puts placeholders where masks were found, ``restore`` puts the values
back into a whole text, a ``Restorer`` into a stream.  Restoring never looks twice:
what a value holds is not read as a placeholder.

In JSON text a value is written as the inside of a JSON string; where a model left
out the quotes around a placeholder they are written with it, so that no value can add
structure to the arguments of a tool call.

A restored text is the last thing before the client: it must not be logged, cached or
scanned by the rules that masked it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from gateway_extproc.core.chat import Chunk, Document, Path, TextAt, TextDelta, ToolStart
from gateway_extproc.guards.chunks import ChunkFilter, Step
from gateway_extproc.guards.masking import (
    Mask,
    fit_json,
    json_view,
)
from gateway_extproc.guards.placeholders import KIND_MAX, PLACEHOLDER, Placeholders, canonical

TAIL_MAX: Final = 2 + KIND_MAX + 2 + 6 + 2 + 1
"""Characters of a stream that are held back at most: a placeholder without its end."""

RESTORED_MAX: Final = 4 << 20
"""Characters of values that one text gets back; placeholders beyond stay as they are."""

_SPELLED: Final = re.compile(f"({PLACEHOLDER.pattern.replace('(', '(?:')})")
_TAIL: Final = re.compile(r"\[ {0,2}([A-Za-z0-9_-]*)( {0,2})\Z")
_NUMBER: Final = re.compile(r"(?:[1-9][0-9]{0,5})?\Z")

Trust = Callable[[str], bool]
"""Whether the tool of this name may read the values; "" is a tool without a name."""


def everyone(_tool: str) -> bool:
    """Every tool may read the values."""
    return True


def reversible(
    text: str, masks: Sequence[Mask], placeholders: Placeholders, *, as_json: bool
) -> list[Mask]:
    """The masks of one whole text, with placeholders that can be taken back.

    ``masks`` are those of ``masks_of``, before ``fit_json``; the result is for
    ``apply_masks``.  A mask that is for good stays so, and so does one that takes structure
    of a JSON text with it: that cannot be put back in a string.
    """
    fitted = fit_json(json_view(text), masks, in_string=False) if as_json else masks
    named: list[Mask] = []
    for mask, place in zip(masks, fitted, strict=True):
        source = text[place.start : place.end]
        value = _unescaped(source) if as_json else source
        if mask.kind and value is not None:
            name = placeholders.for_value(mask.kind, value)
            place = place._replace(placeholder=place.placeholder.replace(mask.placeholder, name))
        named.append(place)
    return named


def restore(text: str, placeholders: Placeholders, *, as_json: bool) -> str:
    """The text with every placeholder of the map replaced by its value.

    Placeholders that nobody has stay as text.
    """
    return _Text(placeholders, as_json=as_json).take(text)


def restored_texts(
    document: Document,
    texts: Iterable[TextAt],
    placeholders: Placeholders,
    *,
    trusts: Trust = everyone,
) -> list[tuple[Path, str]]:
    """The texts of a whole answer that restoring changes, for ``replace_at``.

    Of the arguments of a call only those of tools that ``trusts`` accepts are restored.
    """
    changed: list[tuple[Path, str]] = []
    for at in texts:
        tool = _tool_of(document, at.path)
        if tool is None or trusts(tool):
            text = restore(at.text, placeholders, as_json=at.path[-1:] == ("arguments",))
            if text != at.text:
                changed.append((at.path, text))
    return changed


def _tool_of(document: Document, path: Path) -> str | None:
    """The tool whose arguments a text is part of; None for a text that is said."""
    node: Any = document
    for key in path:
        if key in ("arguments", "input") and isinstance(node, dict):
            name = node.get("name")
            return name if isinstance(name, str) else ""
        node = node[key]
    return None


class _Text:
    """Restores a text in order, any cut of it that leaves placeholders and escapes whole."""

    def __init__(self, placeholders: Placeholders, *, as_json: bool) -> None:
        self._placeholders = placeholders
        self._as_json = as_json
        self._in_string = False
        self._known: dict[tuple[str, bool], str] = {}
        self._room = RESTORED_MAX

    def take(self, text: str) -> str:
        parts = _SPELLED.split(text) if "[" in text else [text]
        if not self._as_json:
            for number in range(1, len(parts), 2):
                parts[number] = self._value(parts[number], False)
            return "".join(parts) if len(parts) > 1 else text
        for number in range(1, len(parts), 2):
            before = parts[number - 1]
            if '"' in before:
                self._in_string ^= _changes_string(before)
            if not _ends_in_escape(before):
                parts[number] = self._value(parts[number], not self._in_string)
        if '"' in parts[-1]:
            self._in_string ^= _changes_string(parts[-1])
        return "".join(parts) if len(parts) > 1 else text

    def _value(self, spelled: str, bare: bool) -> str:
        """What stands for a placeholder; ``bare`` outside of the strings of JSON text."""
        known = self._known.get((spelled, bare))
        if known is None:
            known = self._known[spelled, bare] = self._find(spelled, bare)
        if known is not spelled:
            self._room -= len(known)
        return known if self._room >= 0 else spelled

    def _find(self, spelled: str, bare: bool) -> str:
        value = self._placeholders.find(spelled[1:-1].strip(" "))
        if value is None:
            return spelled
        if not self._as_json:
            return value
        return f'"{_escaped(value)}"' if bare else _escaped(value)


def _changes_string(text: str) -> bool:
    """True if JSON text, from outside of an escape on, goes into a string or out of one."""
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    return text.count('"') % 2 == 1


def _ends_in_escape(text: str) -> bool:
    """True if a backslash at the end takes the next character with it."""
    return text[-1:] == "\\" and (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _escaped(value: str) -> str:
    """A value as the inside of a JSON string; readable, since people see arguments too."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _unescaped(source: str) -> str | None:
    """What the inside of a JSON string says; None for text that is no such inside."""
    try:
        value = json.loads(f'"{source}"', strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


# -------------------------------------------------------------------------- streams


class _Restored:
    """The text of one slot; holds back a tail that may still become a placeholder."""

    def __init__(self, placeholders: Placeholders, *, is_json: bool) -> None:
        self._placeholders = placeholders
        self._is_json = is_json
        self._text = _Text(placeholders, as_json=is_json)
        self._held = ""

    @property
    def pending(self) -> bool:
        return bool(self._held)

    def push(self, text: str, *, final: bool) -> Step:
        if not self._held and not self._is_json and "[" not in text:
            return Step(text)
        text = self._held + text
        ready = len(text) if final else self._settled(text)
        self._held = text[ready:]
        return Step(self._text.take(text[:ready]))

    def _settled(self, text: str) -> int:
        """Where the tail begins that what follows may complete."""
        if self._is_json and _ends_in_escape(text):
            return len(text) - 1
        live = _live(text, self._placeholders.kinds)
        escaped = self._is_json and live < len(text) and _ends_in_escape(text[:live])
        return len(text) if escaped else live


def _live(text: str, kinds: Sequence[str]) -> int:
    """Where a tail begins that may become a placeholder of these kinds; else the length."""
    start = text.rfind("[", max(0, len(text) - TAIL_MAX))
    tail = _TAIL.match(text, start) if start >= 0 else None
    if tail is None:
        return len(text)
    name, closing = canonical(tail[1]), tail[2]
    for kind in kinds:
        if name.startswith(f"{kind}-"):
            number = name[len(kind) + 1 :]
            if _NUMBER.match(number) and (number or not closing):
                return start
        elif f"{kind}-".startswith(name) and not (name and closing):
            return start
    return len(text)


class MaskedValues:
    """``core.ports.Masked`` over the placeholders of one request."""

    def __init__(self, placeholders: Placeholders, trusts: Trust = everyone) -> None:
        self._placeholders, self._trusts = placeholders, trusts

    def __repr__(self) -> str:
        return repr(self._placeholders)

    def restored(self, document: Document, texts: Iterable[TextAt]) -> Sequence[tuple[Path, str]]:
        return restored_texts(document, texts, self._placeholders, trusts=self._trusts)

    def restorer(self) -> Restorer:
        return Restorer(self._placeholders, trusts=self._trusts)


class Restorer:
    """Restores a streamed answer; what leaves, joined, is what ``restore`` makes of the whole.

    Stands behind the output window: the guard sees placeholders, the client sees values.
    A text is over where ``ChunkFilter`` says so; nothing that is held gets lost.
    Of the arguments of a call only those of tools that ``trusts`` accepts are restored.
    """

    def __init__(self, placeholders: Placeholders, *, trusts: Trust = everyone) -> None:
        self._placeholders = placeholders
        self._trusts = trusts
        self._filter = ChunkFilter(self._open)
        self._trusted: dict[int, bool] = {}

    def push(self, chunks: Sequence[Chunk], *, last: bool) -> tuple[Chunk, ...]:
        """Takes chunks in order, gives those that may leave; ``last`` lets all of it go."""
        for chunk in chunks:
            for event in chunk.events:
                if isinstance(event, ToolStart):
                    self._start(event)
        return self._filter.push(chunks, last=last).chunks

    def _start(self, tool: ToolStart) -> None:
        """Choices number their calls alike: one tool without trust spoils the number."""
        trusted = self._trusts(tool.name) and self._trusted.get(tool.call, True)
        self._trusted[tool.call] = trusted

    def _open(self, delta: TextDelta) -> _Restored | _Untouched:
        if delta.field != "arguments":
            return _Restored(self._placeholders, is_json=False)
        call = delta.call
        known = None if call is None else self._trusted.get(call)
        if self._trusts("") if known is None else known:
            return _Restored(self._placeholders, is_json=True)
        return _Untouched()


class _Untouched:
    """Arguments of a tool that may not read the values."""

    pending = False

    def push(self, text: str, *, final: bool) -> Step:
        return Step(text)
