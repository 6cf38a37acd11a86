"""The output filter of one stream: holds text back only while it could match.

Guarantee, for the text of each slot and any cut of it into chunks, between two ends of
the slot's text (an end is Stop, End, an error, the end of its block, a tool call of
its choice, another field of its choice for prose, or ``last``):

- *masks over entities*: what leaves, joined, is exactly the text that
  ``RuleGuard.scan_answer`` would have made of the whole; at no time has a character of a
  masked value left.  Held meanwhile is the tail that could still become a value: a run of up
  to 19 digits for a card, 9 for an SSN, and what national ids look like; a number that may be
  a telephone, and the word after it; a word of hex digits, colons and dots for an IP address;
  a word of one or two letters (or what already looks like an IBAN) for an IBAN; the last word,
  up to 64 characters, and what follows its ``@``, up to 128, for an e-mail address (any word
  may turn out to be one); a number or a capital on for a postal address, up to 128; the
  beginning of a date where a birth is spoken of; for keys only what begins like one, up to
  some 520 characters (7,100 of a JSON web token, 6,200 of an unfinished private key); of a
  password in an address, and of a value that a secret's name is set to, only the value.
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
- *logs, annotations and shadow rules*: never hold anything; found as above, reported once.
- *truncation*: the text before the match is settled, then nothing leaves any more.
- *languages* are known after some 400 characters, asked for again at twice as many and at the end;
  nothing leaves after one that blocks.
- *leaks and formats* are known when most of the text has left; nothing after that leaves.

Two exceptions, both safe: a chain of overlapping pattern matches longer than 8,192
characters becomes several placeholders instead of one; beyond 200 findings a slot
masks and blocks go on without being reported.
"""

from __future__ import annotations

from gateway_extproc.core.chat import TextDelta
from gateway_extproc.guards.chunks import ChunkFilter
from gateway_extproc.guards.masking import render_path
from gateway_extproc.guards.shape import Wanted
from gateway_extproc.guards.slot import SlotText, WindowPolicy
from gateway_extproc.guards.told import Told

__all__ = ["StreamWindow", "WindowPolicy"]


class StreamWindow(ChunkFilter):
    """Windows for all slots of one stream; ``core.ports.OutputWindow``."""

    def __init__(
        self, policy: WindowPolicy, told: Told | None = None, shapes: Wanted | None = None
    ) -> None:
        self._policy, self._told, self._shapes = policy, told, shapes
        super().__init__(self._open)

    def _open(self, delta: TextDelta) -> SlotText:
        path = "stream" + render_path(delta.slot)
        watch = None if self._told is None else self._told.watch()
        shapes = self._shapes if delta.field == "content" else None
        is_json = delta.field == "arguments"
        return SlotText(self._policy, path, is_json=is_json, watch=watch, shapes=shapes)
