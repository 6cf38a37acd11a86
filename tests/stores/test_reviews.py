"""Reviews of findings: who may say what after what, and what workers make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.reviews import FOLLOWS, ReviewClosed, ReviewUnknown
from gateway_extproc.stores.reviews import REVIEWS_NAME, FollowedAllowList, ReviewFile

RECORD: dict[str, Any] = {
    "decision_id": "d1",
    "findings": [
        {"rule": "a", "fingerprint": "f" * 64},
        {"rule": "a", "fingerprint": "f" * 64},
        {"rule": "b", "fingerprint": "e" * 64},
        {"rule": "answer"},
    ],
}


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, clock: Clock) -> ReviewFile:
    return ReviewFile(tmp_path, clock)


def test_each_finding_of_a_prompt_is_reported_once(file: ReviewFile) -> None:
    made = file.report(RECORD, "", "acme/ann", "a recipe")
    assert [(one.rule, one.state, one.by) for one in made] == [
        ("a", "reported", "acme/ann"),
        ("b", "reported", "acme/ann"),
    ]
    assert file.report(RECORD, "a", "acme/bob", "again")[0].by == "acme/ann"
    assert len(file.all()) == 2


def test_what_holds_no_finding_cannot_be_reported(file: ReviewFile) -> None:
    with pytest.raises(ReviewUnknown, match="'answer'"):
        file.report(RECORD, "answer", "x", "")
    with pytest.raises(ReviewUnknown, match="d2"):
        file.report({"decision_id": "d2"}, "", "x", "")
    with pytest.raises(ReviewUnknown):
        file.judge("d9:a:ffffffff", "approved", "x")


def test_a_judgement_follows_only_where_it_may(file: ReviewFile) -> None:
    for state, following in FOLLOWS.items():
        for judgement in FOLLOWS:
            if state == "reported":
                assert (judgement in following) == (judgement in ("approved", "rejected"))
    review = file.report(RECORD, "a", "x", "")[0]
    with pytest.raises(ReviewClosed):
        file.judge(review.id, "withdrawn", "sec")
    file.judge(review.id, "approved", "sec", "fine")
    with pytest.raises(ReviewClosed):
        file.judge(review.id, "rejected", "sec")
    assert file.judge(review.id, "withdrawn", "sec").note == "fine"


def test_workers_allow_what_is_approved_while_it_is(
    tmp_path: Path, clock: Clock, file: ReviewFile
) -> None:
    allowed = FollowedAllowList(tmp_path, clock)

    def allows(rule: str, print_: str) -> bool:
        allowed.refresh()
        return allowed.allows(rule, print_)

    assert not allows("a", "f" * 64)
    review = file.report(RECORD, "a", "x", "")[0]
    assert not allows("a", "f" * 64)
    file.judge(review.id, "approved", "sec", until_s=clock.now_s + 60)
    assert allows("a", "f" * 64)
    assert not allows("b", "f" * 64)
    assert not allows("a", "e" * 64)
    clock.now_s += 60
    assert not allows("a", "f" * 64)
    file.judge(review.id, "withdrawn", "sec")
    file.judge(review.id, "approved", "sec")
    assert allows("a", "f" * 64)
    file.judge(review.id, "withdrawn", "sec")
    assert not allows("a", "f" * 64)


def test_a_torn_line_is_none(tmp_path: Path, clock: Clock, file: ReviewFile) -> None:
    review = file.report(RECORD, "a", "x", "")[0]
    path = tmp_path / REVIEWS_NAME
    path.write_bytes(path.read_bytes() + b'{"id": "d1:a:ffffffff", "state": "appro')
    assert file.all() == [review]
    assert path.stat().st_mode & 0o777 == 0o600
