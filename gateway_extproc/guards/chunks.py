"""The way of a stream's texts through a filter that may hold their tails back.

What a filter does with the text of one slot is a ``SlotFilter``'s matter; here stands
when a slot's text is over, and how what was held leaves: before the event that ends it, in
the chunk that spoke last where that is the same, in a chunk of its own otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import is_
from typing import Any, Protocol

from gateway_extproc.core.chat import (
    BlockEnd,
    Chunk,
    End,
    Stop,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolStart,
)
from gateway_extproc.core.exchange import Finding
from gateway_extproc.core.ports import WindowResult


@dataclass(slots=True)
class Step:
    """What one push released, and the rule that ends the stream if one does."""

    text: str
    findings: Sequence[Finding] = ()
    blocked_by: str | None = None


class SlotFilter(Protocol):
    """Filters the text of one slot."""

    @property
    def pending(self) -> bool:
        """True if text is held, or a finding waits for what follows."""

    def push(self, text: str, *, final: bool) -> Step:
        """Takes more text; ``final`` settles everything that is held."""


_Key = tuple[tuple[int | str, ...], str, int | None]
_Group = int | str
_EVERY: frozenset[_Group] | None = None
_NO_GROUP: frozenset[_Group] = frozenset()


class ChunkFilter:
    """Filters for all slots of one stream; ``core.ports.OutputWindow``.

    ``open_slot`` makes the filter of a slot from its first delta.
    """

    def __init__(self, open_slot: Callable[[TextDelta], SlotFilter]) -> None:
        self._open_slot = open_slot
        self._slots: dict[_Key, SlotFilter] = {}
        self._findings: list[Finding] = []
        self._blocked_by: str | None = None

    def push(self, chunks: Sequence[Chunk], *, last: bool) -> WindowResult:
        """Takes chunks in order; gives those that may leave, changed ones without ``raw``.

        After a block nothing leaves any more, whatever is pushed.
        """
        leaving: list[Chunk] = []
        for chunk in chunks:
            if self._blocked_by is None:
                self._pass(chunk, leaving)
        if last and self._blocked_by is None:
            self._insert(self._flush(_EVERY), leaving)
        findings, self._findings = tuple(self._findings), []
        return WindowResult(tuple(leaving), findings, self._blocked_by)

    def _pass(self, chunk: Chunk, leaving: list[Chunk]) -> None:
        """Appends the chunk as it may leave, after the held text that it pushes out."""
        before = self._flush(_ended_before(chunk))
        places: dict[_Key, int] = {}
        events: list[StreamEvent] = []
        for event in chunk.events:
            if isinstance(event, TextDelta) and event.text and self._blocked_by is None:
                before += self._flush_siblings(event)
                places[_key_of(event)] = len(events)
                event = self._filter(event)
            if self._blocked_by is None or isinstance(event, TextDelta):
                events.append(event)
            if self._blocked_by is not None:
                break
        if self._blocked_by is None:
            for delta in self._flush(_ended_by(chunk)):
                place = places.get(_key_of(delta))
                if place is None:
                    before.append(delta)
                else:
                    said = events[place]
                    assert isinstance(said, TextDelta)
                    events[place] = replace(said, text=said.text + delta.text)
            if self._blocked_by is not None:
                events = [event for event in events if isinstance(event, TextDelta)]
        self._insert(before, leaving)
        self._append(chunk, events, leaving)

    def _filter(self, delta: TextDelta) -> TextDelta:
        key = _key_of(delta)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._open_slot(delta)
        text = self._run(slot, delta.text, final=False)
        if text == delta.text:
            return delta
        return TextDelta(delta.slot, text, delta.field, delta.call)

    def _run(self, slot: SlotFilter, text: str, *, final: bool) -> str:
        step = slot.push(text, final=final)
        if step.findings:
            self._findings += step.findings
        if step.blocked_by is not None:
            self._blocked_by = step.blocked_by
        return step.text

    # ------------------------------------------------------------------ ends of texts

    def _flush(self, groups: frozenset[_Group] | None) -> list[TextDelta]:
        """The held text of the slots of these choices or blocks; None means of all."""
        if groups is not None and not groups:
            return []
        return self._settle([key for key in self._slots if groups is None or key[0][0] in groups])

    def _flush_siblings(self, delta: TextDelta) -> list[TextDelta]:
        """A choice speaks one prose field after the other: reasoning, then content.

        Arguments of several calls may come interleaved and are left alone; so are
        other choices.
        """
        mine = _key_of(delta)
        if not self._slots or (len(self._slots) == 1 and mine in self._slots):
            return []
        return self._settle(
            [
                key
                for key in self._slots
                if key != mine and key[0][0] == mine[0][0] and key[1] != "arguments"
            ]
        )

    def _settle(self, keys: Iterable[_Key]) -> list[TextDelta]:
        settled: list[TextDelta] = []
        for key in keys:
            slot = self._slots[key]
            if slot.pending and self._blocked_by is None:
                text = self._run(slot, "", final=True)
                if text:
                    settled.append(_delta(key, text))
        return settled

    # ------------------------------------------------------------------------- output

    @staticmethod
    def _insert(deltas: list[TextDelta], leaving: list[Chunk]) -> None:
        if deltas:
            leaving.append(Chunk(raw=None, document=None, events=tuple(deltas)))

    @staticmethod
    def _append(chunk: Chunk, events: list[StreamEvent], leaving: list[Chunk]) -> None:
        """The same object where nothing changed; nothing where nothing is left to say."""
        if len(events) == len(chunk.events) and all(map(is_, events, chunk.events)):
            leaving.append(chunk)
        elif any(not isinstance(event, TextDelta) or event.text for event in events):
            leaving.append(Chunk(None, chunk.document, tuple(events)))


def _key_of(delta: TextDelta) -> _Key:
    return delta.slot, delta.field, delta.call


def _delta(key: _Key, text: str) -> TextDelta:
    slot, field, call = key
    return TextDelta(slot, text, field, call)  # type: ignore[arg-type]


def _ended_before(chunk: Chunk) -> frozenset[_Group] | None:
    """Whose text ends before this chunk: that of a block which ends, or all before a tool call."""
    for event in chunk.events:
        if isinstance(event, BlockEnd):
            return frozenset((event.group,))
        if isinstance(event, ToolStart):
            return _choices(chunk.document)
    return _NO_GROUP


def _ended_by(chunk: Chunk) -> frozenset[_Group] | None:
    """Whose text ends with this chunk."""
    ended = _NO_GROUP
    for event in chunk.events:
        if isinstance(event, (End, StreamError)):
            return _EVERY
        if isinstance(event, Stop):
            choices = _choices(chunk.document)
            return choices if choices is None else choices | ended
        if isinstance(event, TextDelta) and event.field == "citation":
            ended |= {event.slot[0]}
    return ended


def _choices(document: Any) -> frozenset[_Group] | None:
    """The choices an OpenAI chunk speaks of, so that the others stay held; else all."""
    choices = document.get("choices") if document is not None else None
    if not isinstance(choices, list) or not choices:
        return _EVERY
    return frozenset(choice.get("index", 0) for choice in choices if isinstance(choice, dict))
