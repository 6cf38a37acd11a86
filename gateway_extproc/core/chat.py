"""What clients ask and providers answer, free of any wire shape.

``LlmRequest`` is every request as the gateway needs it: the document as it came,
and where its texts are.  The ``Chat*`` values are the hub between dialects: a
request is translated A -> hub -> B only when A and B differ; otherwise the
document passes with the fewest edits, so that unknown fields survive.

All values are frozen; documents are read, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.quick import quick
from gateway_extproc.core.usage import NOTHING, Usage

Document = Mapping[str, Any]
"""A parsed JSON object; shared between stages, so never changed."""

Path = tuple[str | int, ...]
"""Where a value stands in a document: keys and indexes from the root."""

Role = Literal["system", "user", "assistant", "tool"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

AnswerForm = Literal["json", "text", "bytes"]
"""One JSON object; plain text (as a document ``{"text": ...}``); or bytes that no guard reads."""


@quick
@dataclass(frozen=True, slots=True)
class TextAt:
    """One text of a document: where it stands, and in whose voice it speaks."""

    path: Path
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One request in its client's dialect.

    ``texts`` holds every text a guard must see, of every role.  ``max_tokens``
    is the cap that the client asked for, None if it gave none;
    ``wants_usage`` tells whether a streaming client asked for a usage event.
    ``completions`` answers are asked for at once, 0 where the answer is no text that a model
    writes; ``media`` counts images, files and sounds,
    whose tokens no text shows; ``has_tools`` because providers add a prompt of their own.
    ``unread_tokens`` are tokens that came as numbers, which no text shows either.  With
    ``mistake``, why the gateway itself would refuse it, the document's types are not as checked:
    only a provider that checks them itself may be asked.
    ``answers`` tells what a whole answer is; ``beside`` what may be charged beside tokens.
    """

    dialect: str
    endpoint: str
    model: str
    stream: bool
    max_tokens: int | None
    wants_usage: bool
    document: Document
    texts: tuple[TextAt, ...]
    completions: int = 1
    media: int = 0
    has_tools: bool = False
    unread_tokens: int = 0
    mistake: Refusal | None = None
    answers: AnswerForm = "json"
    beside: Usage = NOTHING


# ----------------------------------------------------------------- the hub: requests


@quick
@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image by address (``url``) or by value (``media_type`` and base64 ``data``).

    ``detail`` says how closely to look, in OpenAI's words; None leaves it to the provider.
    """

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A document (PDF) by value, ``data`` in base64."""

    media_type: str
    data: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound by value; ``kind`` is ``wav`` or ``mp3``, ``data`` base64."""

    kind: str
    data: str


@quick
@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; ``arguments`` is JSON text, as it came."""

    id: str
    name: str
    arguments: str


@quick
@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Thought:
    """What a model thought before it answered; only in answers to clients that asked for it."""

    text: str


Part = Text | Image | File | Sound | ToolCall | ToolResult


@quick
@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn.  Tool results are parts of a turn of role ``tool``."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; ``parameters`` is its JSON schema.

    With ``strict`` the model's arguments must follow the schema to the letter.
    """

    name: str
    description: str | None
    parameters: Document
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``mode`` auto, none, required; or ``named`` with the function's name."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The answer shall be JSON; with ``schema`` (JSON schema) such as it describes."""

    schema: Document | None = None
    name: str = "answer"
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much a model may think: in words (``effort``), or in tokens (``budget``; 0 is nothing).

    ``shown`` tells whether the client wants to read the thoughts.
    """

    effort: str | None = None
    budget: int | None = None
    shown: bool = False


@quick
@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request that any dialect can be written from.

    System turns stand first in ``messages``.  None means "the client did not say".
    """

    model: str
    messages: tuple[ChatMessage, ...]
    stream: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    user: str | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    answer_format: AnswerFormat | None = None
    thinking: Thinking | None = None
    logit_bias: Document | None = None
    logprobs: int | None = None
    """The chosen tokens' log probabilities, and those of so many others beside each."""
    completions: int | None = None
    verbosity: str | None = None


# ------------------------------------------------------------------ the hub: answers

StopReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class TokenProb:
    """A token of an answer, its log probability, and those of others that could stand there."""

    token: str
    logprob: float
    beside: tuple[tuple[str, float], ...] = ()


AnswerPart = Text | ToolCall | Thought


@quick
@dataclass(frozen=True, slots=True)
class Choice:
    """One of several answers to the same request."""

    parts: tuple[AnswerPart, ...]
    stop_reason: StopReason
    logprobs: tuple[TokenProb, ...] | None = None


@quick
@dataclass(frozen=True, slots=True)
class ChatResponse:
    """A whole answer: its parts, why it ended, what it used.

    ``others`` are further answers, for clients that asked for several.
    """

    id: str
    model: str
    parts: tuple[AnswerPart, ...]
    stop_reason: StopReason
    usage: Usage | None
    logprobs: tuple[TokenProb, ...] | None = None
    others: tuple[Choice, ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All answers, the first one first."""
        return (Choice(self.parts, self.stop_reason, self.logprobs), *self.others)


@dataclass(frozen=True, slots=True)
class Start:
    """The first event of a streamed answer."""

    id: str
    model: str


@quick
@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of one field of one choice; ``slot`` tells the fields apart.

    Text of different slots never joins: a guard keeps one window per slot.
    For OpenAI a slot is ``(choice, field)``, for Anthropic ``(block, field)``;
    ``field`` is ``content``, ``reasoning``, ``refusal``, or ``arguments`` (the
    JSON text of tool call ``call``, opened by a ``ToolStart``), or ``citation``: one whole text
    of what an answer cites, which ends with its chunk.
    """

    slot: tuple[int | str, ...]
    text: str
    field: Literal["content", "reasoning", "refusal", "arguments", "citation"] = "content"
    call: int | None = None


@quick
@dataclass(frozen=True, slots=True)
class ToolStart:
    """Tool call number ``call`` (from 0) of this answer, or of one of several, begins."""

    call: int
    id: str
    name: str
    choice: int = 0


@quick
@dataclass(frozen=True, slots=True)
class BlockEnd:
    """The text of every slot that begins with ``group`` is over."""

    group: int | str


@quick
@dataclass(frozen=True, slots=True)
class Stop:
    """The model is done, of several answers with this one; held text must leave before this."""

    reason: StopReason
    choice: int = 0


@quick
@dataclass(frozen=True, slots=True)
class UsageReport:
    usage: Usage


@dataclass(frozen=True, slots=True)
class StreamError:
    """An error event inside a stream that began well."""

    type: str
    code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class End:
    """The dialect's own end mark was seen ([DONE], message_stop)."""


StreamEvent = Start | TextDelta | ToolStart | BlockEnd | Stop | UsageReport | StreamError | End


@quick
@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a provider's stream.

    ``raw`` is the event as it came, framing included; ``document`` its JSON;
    ``events`` what it means.  A guard that changes ``events`` sets
    ``raw`` to None, and the encoder writes the chunk anew.
    """

    raw: bytes | None
    document: Document | None = field(repr=False)
    events: tuple[StreamEvent, ...]
