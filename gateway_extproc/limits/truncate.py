"""Makes a conversation shorter by leaving out its oldest turns.

System and developer messages and everything from the last user turn on stay.  A call of a tool
and its results are one: they stay together or leave together.  Gemini's documents keep their turns
in ``contents``, all others in ``messages``; system prompts of Anthropic's, Gemini's and Bedrock's
stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from gateway_extproc.core.chat import Document

KEPT_ROLES: Final = frozenset({"system", "developer"})
RESULT_ROLES: Final = frozenset({"tool", "function"})

Message = Document


class Shortened(NamedTuple):
    """The document with fewer turns, and how many messages were left out."""

    document: Document
    dropped: int


def shorten(
    document: Document, most_tokens: int, count: Callable[[Document], int]
) -> Shortened | None:
    """Leaves out as few of the oldest turns as will do; None where it cannot be made to fit.

    ``count`` tells the tokens of a document.  The input is not changed.
    """
    messages = document[_turns(document)]
    groups = _groups(messages)
    last = _last_user(groups, messages)
    droppable = [
        group for group in groups[:last] if messages[group[0]].get("role") not in KEPT_ROLES
    ]
    # The fewest groups that do, by bisection: counting a document is what costs.
    low, high = 0, len(droppable)
    if _count_without(document, droppable, high, count) > most_tokens:
        return None
    while low < high:
        middle = (low + high) // 2
        if _count_without(document, droppable, middle, count) > most_tokens:
            low = middle + 1
        else:
            high = middle
    return _without(document, droppable, low)


def _without(document: Document, groups: Sequence[Sequence[int]], number: int) -> Shortened:
    gone = {index for group in groups[:number] for index in group}
    key = _turns(document)
    messages = [m for i, m in enumerate(document[key]) if i not in gone]
    # An answer without its question in front makes no sense, and Anthropic refuses it.
    while number and (at := _first_turn(messages)) is not None and not _opens(messages[at]):
        del messages[at]
    dropped = len(document[key]) - len(messages)
    return Shortened({**document, key: messages}, dropped)


def _turns(document: Document) -> str:
    return "contents" if "contents" in document else "messages"


def _count_without(
    document: Document,
    groups: Sequence[Sequence[int]],
    number: int,
    count: Callable[[Document], int],
) -> int:
    return count(_without(document, groups, number).document)


def _first_turn(messages: Sequence[Message]) -> int | None:
    for index, message in enumerate(messages):
        if message.get("role") not in KEPT_ROLES:
            return index
    return None


def _opens(message: Message) -> bool:
    """Whether a conversation may begin with it: what a user says, not a tool's result."""
    # Gemini's only speaker may be left unnamed.
    return message.get("role", "user") == "user" and not _answers_tools(message)


def _groups(messages: Sequence[Message]) -> list[list[int]]:
    """Messages that stay together: a call of tools with all of its results."""
    groups: list[list[int]] = []
    for index, message in enumerate(messages):
        if groups and _answers_tools(message) and _calls_tools(messages[groups[-1][0]]):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _calls_tools(message: Message) -> bool:
    return bool(
        message.get("tool_calls")
        or message.get("function_call")
        or _kinds(message) & {"tool_use", "functionCall", "toolUse"}
    )


def _answers_tools(message: Message) -> bool:
    kinds = _kinds(message) & {"tool_result", "functionResponse", "toolResult"}
    return message.get("role") in RESULT_ROLES or bool(kinds)


def _kinds(message: Message) -> set[Any]:
    parts = message.get("parts")
    if type(parts) is list:  # Gemini's kinds are keys
        return {key for part in parts for key in part}
    content = message.get("content")
    if type(content) is not list:
        return set()
    # Bedrock's kinds are keys, too.
    return {kind for block in content for kind in (block.get("type"), *block)}


def _last_user(groups: Sequence[Sequence[int]], messages: Sequence[Message]) -> int:
    """Index of the last group that a user opens; with none, nothing may go."""
    for number in range(len(groups) - 1, -1, -1):
        if _opens(messages[groups[number][0]]):
            return number
    return 0
