"""Reviews of guard findings in a file: every judgement a line, the last one of a review counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.reviews import (
    FOLLOWS,
    NEVER,
    Judgement,
    Review,
    ReviewClosed,
    ReviewUnknown,
)
from gateway_extproc.stores.following import Stamp, stamp_of

REVIEWS_NAME: Final = "guard-reviews.jsonl"
NOTE_MAX: Final = 500


class ReviewFile:
    """All reviews of one host; open it for a few calls, it holds nothing open."""

    def __init__(self, folder: Path, now_s: Callable[[], float]) -> None:
        self._path, self._now_s = folder / REVIEWS_NAME, now_s

    def all(self) -> list[Review]:
        """Every review as it stands, the oldest first."""
        return list(_read(self._path).values())

    def report(self, record: Mapping[str, Any], rule: str, by: str, note: str) -> list[Review]:
        """Says of a decision that its findings (of one rule, if it is named) are wrong.

        Raises ``ReviewUnknown`` where the decision holds no finding that can be reviewed.
        """
        known = _read(self._path)
        found = {
            (finding["rule"], finding["fingerprint"])
            for finding in record.get("findings", ())
            if finding.get("fingerprint") and rule in ("", finding["rule"])
        }
        if not found:
            what = f"finding of '{rule}'" if rule else "finding"
            raise ReviewUnknown(f"decision {record['decision_id']} has no {what} to review")
        made = [
            Review(record["decision_id"], name, fingerprint, "reported", by, self._now_s(),
                   note[:NOTE_MAX])
            for name, fingerprint in sorted(found)
        ]  # fmt: skip
        self._append(review for review in made if review.id not in known)
        return [known.get(review.id, review) for review in made]

    def judge(
        self, id_: str, judgement: Judgement, by: str, note: str = "", until_s: float = NEVER
    ) -> Review:
        """Raises ``ReviewUnknown`` and ``ReviewClosed``."""
        review = _read(self._path).get(id_)
        if review is None:
            raise ReviewUnknown(f"no review {id_}")
        if judgement not in FOLLOWS[review.state]:
            raise ReviewClosed(f"review {id_} is {review.state}; it cannot be {judgement}")
        judged = replace(
            review, state=judgement, by=by, at_s=self._now_s(), until_s=until_s,
            note=note[:NOTE_MAX] or review.note,
        )  # fmt: skip
        self._append([judged])
        return judged

    def _append(self, reviews: Iterable[Review]) -> None:
        lines = b"".join(orjson.dumps(review.shown()) + b"\n" for review in reviews)
        if not lines:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # One write of whole lines: writers in other processes do not cut into it.
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, lines)
            os.fsync(file)
        finally:
            os.close(file)


class FollowedAllowList:
    """``AllowList`` of one worker, after the host's file; ``stores.following.Followed``."""

    def __init__(self, folder: Path, now_s: Callable[[], float]) -> None:
        self._path, self._now_s = folder / REVIEWS_NAME, now_s
        self._stamp: Stamp | None = None
        self._until: dict[tuple[str, str], float] = {}

    def allows(self, rule: str, fingerprint: str) -> bool:
        until_s = self._until.get((rule, fingerprint))
        return until_s is not None and (until_s == NEVER or self._now_s() < until_s)

    def refresh(self) -> bool:
        """Reads a changed file."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return False
        stamp = stamp_of(status)
        if stamp == self._stamp:
            return False
        self._until = {
            (review.rule, review.fingerprint): review.until_s
            for review in _read(self._path).values()
            if review.state == "approved"
        }
        self._stamp = stamp
        return False

    def close(self) -> None:
        """Nothing is held open."""


def _read(path: Path) -> dict[str, Review]:
    """The reviews by id.  A line that is cut by a crash is no line; raises ``StoreUnavailable``."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from None
    reviews: dict[str, Review] = {}
    for line in data.splitlines():
        try:
            fields = orjson.loads(line)
            id_ = fields.pop("id")
            reviews[id_] = Review(**fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return reviews
