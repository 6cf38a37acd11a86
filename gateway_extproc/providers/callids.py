"""Ids of tool calls that carry Gemini's thought signatures through other dialects.

A Gemini model that thinks signs its function calls, and wants the signature back with the call.
Clients of other dialects have no field for it, but send the id of every call back as it came; so
the signature travels inside of the id, and no process has to remember anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway_extproc.core.chat import ToolCall

_MARK: Final = "__signed__"
_TO_ID: Final = str.maketrans("+/", "-_", "=")
_FROM_ID: Final = str.maketrans("-_", "+/")


def signed_id(call_id: str, signature: str | None) -> str:
    """The id with the signature (base64) in it, of letters that every dialect allows in ids."""
    return f"{call_id}{_MARK}{signature.translate(_TO_ID)}" if signature else call_id


def split_id(call_id: str) -> tuple[str, str | None]:
    """The plain id, and the signature in base64 where there is one."""
    plain, mark, rest = call_id.partition(_MARK)
    if not mark or not rest:
        return call_id, None
    signature = rest.translate(_FROM_ID)
    return plain, signature + "=" * (-len(signature) % 4)


def without_signature(call: ToolCall) -> ToolCall:
    """The call for a provider that did not sign it, and bounds the length of ids."""
    plain, signature = split_id(call.id)
    return call if signature is None else replace(call, id=plain)


def made_id(answer_id: str, number: int) -> str:
    """An id for call ``number`` of an answer whose model gave it none."""
    plain = "".join(letter for letter in answer_id if letter.isalnum() and letter.isascii())
    return f"call_{plain[:24]}_{number}"
