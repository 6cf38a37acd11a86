"""The output filter of one stream: holds text back only while it could match.

Guarantee, for the text of each slot and any cut of it into chunks, between two ends of
the slot's text (an end is Stop, End, an error, the end of its block, a tool call of
its choice, another field of its choice for prose, or ``last``):

- *masks over entities* (card, iban, us_ssn, email, api_key, hidden): what leaves, joined,
  is exactly the text that ``RuleGuard.scan_answer`` would have made of the whole; at no time
  has a character of a masked value left.  Held meanwhile is the tail that could still become
  a value: a run of up to 19 digits for a card, 9 for an SSN; a word of one or two
  letters (or what already looks like an IBAN) for an IBAN; the last word, up to 64
  characters, and what follows its ``@``, up to 128, for an e-mail address (any word may turn
  out to be one); for secrets only what begins like one, up to 267 characters, and up to
  6,200 of an unfinished private key.
- *blocks over entities*: the same; no character of a blocked value leaves.
- *masks over patterns*: the same for matches of up to 64 bytes.  Held is the tail from the
  first place in the last 64 bytes (or as many as the longest match has) where the
  pattern's literal prefix stands or begins; without such a prefix all of them.  Of a
  longer match the part that has not left is masked.
- *blocks over patterns*: only a match that touches the end is held, until the next
  character; the text before it, and of it as long as it was none, may have left.
  Matching reaches back at least 256 characters.  The block comes with the first
  character that makes the match certain: its last one, or the one after it (word
  boundaries look one ahead); nothing after it leaves.
- *flags and shadow rules*: never hold anything; found as above, reported once.

Two exceptions, both safe: a chain of overlapping pattern matches longer than 8,192
characters becomes several placeholders instead of one; beyond 200 findings a slot
masks and blocks go on without being reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import is_
from typing import Any

from gateway_extproc.core.chat import (
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
from gateway_extproc.guards.masking import render_path
from gateway_extproc.guards.slot import SlotText, WindowPolicy

__all__ = ["StreamWindow", "WindowPolicy"]

_Key = tuple[tuple[int | str, ...], str, int | None]
_Group = int | str
_EVERY: frozenset[_Group] | None = None
_NO_GROUP: frozenset[_Group] = frozenset()


class StreamWindow:
    """Windows for all slots of one stream; ``core.ports.OutputWindow``."""

    def __init__(self, policy: WindowPolicy) -> None:
        self._policy = policy
        self._slots: dict[_Key, SlotText] = {}
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
            path = "stream" + render_path(delta.slot)
            slot = SlotText(self._policy, path, is_json=delta.field == "arguments")
            self._slots[key] = slot
        text = self._run(slot, delta.text, final=False)
        if text == delta.text:
            return delta
        return TextDelta(delta.slot, text, delta.field, delta.call)

    def _run(self, slot: SlotText, text: str, *, final: bool) -> str:
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
    """Whose text ends before this chunk: a tool call, or the end of an Anthropic block.

    The end of a block has no event of its own, so the document is asked.
    """
    document: Any = chunk.document
    if document is not None and document.get("type") == "content_block_stop":
        return frozenset((document.get("index"),))
    for event in chunk.events:
        if isinstance(event, ToolStart):
            return _choices(document)
    return _NO_GROUP


def _ended_by(chunk: Chunk) -> frozenset[_Group] | None:
    """Whose text ends with this chunk."""
    for event in chunk.events:
        if isinstance(event, (End, StreamError)):
            return _EVERY
        if isinstance(event, Stop):
            return _choices(chunk.document)
    return _NO_GROUP


def _choices(document: Any) -> frozenset[_Group] | None:
    """The choices an OpenAI chunk speaks of, so that the others stay held; else all."""
    choices = document.get("choices") if document is not None else None
    if not isinstance(choices, list) or not choices:
        return _EVERY
    return frozenset(choice.get("index", 0) for choice in choices if isinstance(choice, dict))
