"""What the answer to a request must not tell: its system prompt, and a mark planted there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway_extproc.core.chat import TextAt
from gateway_extproc.guards.canary import CanaryWatch, tells_canary
from gateway_extproc.guards.leak import Leak, Passage, Prompt, Prompts, find_copy

_PLANTED: Final = re.compile(r"\n\n\[ref ([a-z2-7]{16})\]\Z")


def planted(text: str, mark: str) -> str:
    """A system text with the mark at its end, where ``mark_in`` finds it again."""
    return f"{text}\n\n[ref {mark}]"


def mark_in(texts: Sequence[TextAt]) -> str:
    """The mark that was planted into these texts; empty without one."""
    for at in texts:
        found = _PLANTED.search(at.text) if at.role == "system" else None
        if found:
            return found[1]
    return ""


class Told(NamedTuple):
    """A prompt, a mark, or both."""

    prompt: Prompt | None
    mark: str

    @classmethod
    def of(cls, texts: Sequence[TextAt], prompts: Prompts) -> Told | None:
        """What an answer to these texts must not tell; None for texts without a system prompt."""
        system = tuple(at.text for at in texts if at.role == "system")
        if not system:
            return None
        prompt = prompts.get(system).without(at.text for at in texts if at.role == "user")
        return cls(prompt, mark_in(texts))

    def find(self, text: str) -> Passage | None:
        """Where a whole text tells it."""
        if self.mark and tells_canary(text, self.mark):
            return Passage(0, len(text))
        return None if self.prompt is None else find_copy(text, self.prompt)

    def watch(self) -> Watch:
        """The same for a text that comes piece by piece."""
        return Watch(self)


class Watch:
    """Looks at one text of a stream; tells what it finds once."""

    def __init__(self, told: Told) -> None:
        self._leak = None if told.prompt is None else Leak(told.prompt)
        self._canary = CanaryWatch(told.mark) if told.mark else None

    def push(self, text: str, *, final: bool) -> Passage | None:
        """The passage, as soon as it is one."""
        end = None if self._canary is None else self._canary.push(text, final=final)
        if end is not None:
            self._canary = None
            return Passage(0, end)
        return None if self._leak is None else self._leak.push(text, final=final)
