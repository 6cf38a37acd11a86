"""Answers as they are written down."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.cached import CachedAnswer, StreamCopy, decode_answer
from gateway_extproc.core.usage import Usage

counts = st.integers(0, 2**40)
usages = st.builds(
    Usage, counts, counts, counts, counts, st.sampled_from(["reported", "estimated"])
)
answers = st.builds(
    CachedAnswer,
    form=st.sampled_from(["whole", "stream", "usage_stream"]),
    body=st.binary(),
    stored_s=st.floats(0, 1e10),
    usage=st.none() | usages,
    cost_nanos=counts,
    model=st.text(st.characters(exclude_categories=["Cs"])),
    stop_reason=st.sampled_from(["stop", "tool_calls"]),
)


@given(answers)
def test_what_was_written_is_read(answer: CachedAnswer) -> None:
    assert decode_answer(answer.encode()) == answer


@given(st.binary())
def test_anything_else_is_no_answer(data: bytes) -> None:
    assert decode_answer(data) is None or data[:1] == b"\x01"


@given(answers, st.data())
def test_a_header_that_was_cut_is_no_answer(answer: CachedAnswer, data: Any) -> None:
    whole = answer.encode()
    header_end = len(whole) - len(answer.body)
    cut = data.draw(st.integers(0, header_end - 1))
    assert decode_answer(whole[:cut]) is None


@given(st.lists(st.binary()), st.integers(0, 100))
def test_a_copy_holds_all_of_a_stream_or_nothing(parts: list[bytes], most: int) -> None:
    copy = StreamCopy(most)
    for part in parts:
        copy.add(part)
    whole = b"".join(parts)
    assert copy.body == (whole if len(whole) <= most else None)
