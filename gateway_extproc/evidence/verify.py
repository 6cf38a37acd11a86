"""Reads chained logs again and says whether they are what was written.

Finds lines that were changed, removed, added or put elsewhere, segments that are missing, and,
with checkpoints that were kept elsewhere, an end that was cut off.  Only reads; streams, so that
the size of a log does not matter.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway_extproc.evidence.chain import (
    CHECKPOINT,
    GENESIS,
    HEADER,
    Checkpoint,
    Header,
    Line,
    find_checkpoint,
    find_header,
    find_line,
    follows,
)
from gateway_extproc.evidence.checkpoints import is_signed

FILE: Final = re.compile(r"(decisions|costs|alerts|shadows)-(\d+)(?:\.(\d{6,}))?\.jsonl")

MAX_PROBLEMS: Final = 20
"""Of one log; who changed so much has made the point."""

Keys = Mapping[str, Ed25519PublicKey]


class Problem(NamedTuple):
    """Something that is not as it was written: the first line where that shows.

    ``line`` counts from 1, 0 is the file as a whole; ``decision_id`` is that of the record
    there, empty where no record stands.
    """

    path: Path
    line: int
    decision_id: str
    what: str


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong with it.

    ``unsigned`` counts lines behind the last checkpoint of their log: nobody vouches that none
    of them is missing.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    records: int = 0
    checkpoints: int = 0
    unsigned: int = 0


class Segment(NamedTuple):
    """A file of a log, and its header where that can be read."""

    path: Path
    number: int
    header: Header | None


class Shipped(NamedTuple):
    """A checkpoint that was kept elsewhere, and its line there."""

    checkpoint: Checkpoint
    line: int


def verify(
    files: Iterable[Path],
    *,
    keys: Keys | None = None,
    shipped: tuple[Path, Sequence[Shipped]] | None = None,
    archived: bool = False,
) -> Report:
    """Checks all logs that these files belong to.

    ``keys`` (None: signatures are not looked at) are those that may have signed; ``shipped``
    are the checkpoints of a file that was kept elsewhere; ``archived`` says that each log's
    first segments were put away on purpose.
    """
    report = Report()
    chains: dict[tuple[str, int], list[Path]] = defaultdict(list)
    for path in files:
        match = FILE.fullmatch(path.name)
        if match is None:
            report.problems.append(Problem(path, 0, "", "not named like a segment of a log"))
        else:
            chains[match[1], int(match[2])].append(path)
    away = _by_log(shipped, keys, report) if shipped else {}
    for name in sorted(chains.keys() | away.keys()):
        paths = chains.get(name, [])
        _Chain(name, paths, report, keys, away.get(name, []), archived=archived).check()
    return report


def read_shipped(path: Path) -> Iterator[Shipped]:
    """The checkpoints in a file; other lines are passed over, so that it may be any output.

    A line that is a JSON document may hold them as texts anywhere in it, as what collectors of logs
    write does (OTLP as JSON among them); so may a file that is one such document.
    """
    with path.open("rb") as file:
        number = 0
        for number, line in enumerate(file, 1):
            for checkpoint in _checkpoints_in(line.strip()):
                yield Shipped(checkpoint, number)
        if number <= 1:
            return
        file.seek(0)
        # Of many lines that are one document only together.
        if file.read(1) in (b"{", b"[") and (whole := _document(path)) is not None:
            for checkpoint in _checkpoints_below(whole):
                yield Shipped(checkpoint, 1)


def _checkpoints_in(line: bytes) -> Iterator[Checkpoint]:
    # What a container wrote begins with a time and the name of its output.
    found = find_checkpoint(line[max(0, line.find(CHECKPOINT)) :])
    if found is not None:
        yield found
    elif line[:1] in (b"{", b"[") and b"checkpoint" in line:
        with contextlib.suppress(orjson.JSONDecodeError):
            yield from _checkpoints_below(orjson.loads(line))


def _checkpoints_below(value: Any) -> Iterator[Checkpoint]:
    """Those that stand as texts in a document."""
    if isinstance(value, str):
        found = find_checkpoint(value.strip().encode("utf-8", "replace"))
        if found is not None:
            yield found
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _checkpoints_below(one)


def _document(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return None


def _by_log(
    shipped: tuple[Path, Sequence[Shipped]], keys: Keys | None, report: Report
) -> dict[tuple[str, int], list[Checkpoint]]:
    path, found = shipped
    good: dict[tuple[str, int], list[Checkpoint]] = defaultdict(list)
    for checkpoint, line in found:
        if keys is not None and not is_signed(checkpoint, keys):
            what = "this checkpoint is signed by none of the given keys"
            report.problems.append(Problem(path, line, "", what))
        else:
            good[checkpoint.log, checkpoint.worker].append(checkpoint)
    return good


class _Chain:
    """One worker's log, line by line over its segments.

    ``hash`` is None where the line before could not be read, so that one mistake is told once.
    """

    def __init__(
        self,
        name: tuple[str, int],
        paths: Sequence[Path],
        report: Report,
        keys: Keys | None,
        away: Sequence[Checkpoint],
        *,
        archived: bool,
    ) -> None:
        self.name = f"{name[0]}-{name[1]}"
        self.report, self.keys, self.archived = report, keys, archived
        self.segments = _segments(paths)
        self.away: dict[tuple[str, int], list[Checkpoint]] = defaultdict(list)
        for checkpoint in away:
            self.away[checkpoint.boot_id, checkpoint.seq].append(checkpoint)
        self.problems = self.number = self.seq = self.signed = 0
        self.hash: bytes | None = GENESIS
        self.boot_id = ""
        self.path, self.at, self.data = Path(self.name), 0, b""

    def check(self) -> None:
        for segment, following in zip_longest(self.segments, self.segments[1:]):
            if self.problems >= MAX_PROBLEMS:
                return
            self._enter(segment)
            if segment.header is not None:
                self._lines(segment, following)
        if not self.problems:
            self._look_for_cut_end()
        self.report.unsigned += self.seq - self.signed

    def _tell(self, what: str) -> None:
        self.problems += 1
        self.report.problems.append(Problem(self.path, self.at, _decision_id(self.data), what))

    # ------------------------------------------------------------ from segment to segment

    def _enter(self, segment: Segment) -> None:
        """Whether this segment is the one that follows, by its header."""
        self.report.files += 1
        header, expected, first = segment.header, self.number + 1, self.number == 0
        self.number = segment.number
        if header is not None and segment.number == expected and not first:
            if self.hash not in (None, header.previous):
                self._tell("the next segment follows another line: this end was changed or cut off")
                self._start_at(segment)
            self.path, self.boot_id = segment.path, header.boot_id
            return
        self.path, self.at, self.data = segment.path, 1, b""
        if segment.number > expected and not (first and self.archived):
            self._tell(f"segment {_range(expected, segment.number - 1)} before it is missing")
        elif segment.number < expected:
            self._tell(f"segment {segment.number} is there twice")
        if header is None:
            self._tell("its first line is not the header of a segment")
            self.hash = None
            return
        if first and segment.number == 1 and header.previous != GENESIS:
            self._tell("the first segment follows another one")
        self.boot_id = header.boot_id
        self._start_at(segment)

    def _start_at(self, segment: Segment) -> None:
        """Believes a header about what stood before it, because nothing else tells."""
        assert segment.header is not None
        line = find_line(_first_line(segment.path))
        self.hash, self.seq = segment.header.previous, line.seq - 1 if line else self.seq

    def _lines(self, segment: Segment, following: Segment | None) -> None:
        assert segment.header is not None
        if segment.header.log + f"-{segment.header.worker}" != self.name:
            self.at = 1
            self._tell(f"a segment of {segment.header.log}-{segment.header.worker}")
        torn = following.header.previous_torn_bytes if following and following.header else 0
        left = segment.path.stat().st_size - torn
        with segment.path.open("rb") as file:
            for at, data in enumerate(file, 1):
                left -= len(data)
                if left < 0 or self.problems >= MAX_PROBLEMS:
                    return  # what the next header calls torn
                self.at, self.data = at, data
                if not data.endswith(b"\n"):
                    self._torn(following)
                    return
                self._line(data)

    def _torn(self, following: Segment | None) -> None:
        if following is not None:
            self._tell("this line is torn, and the next segment does not say so")
            return
        self.report.notes.append(
            f"{self.path}:{self.at}: {len(self.data)} bytes of a line that is being written, or"
            " was when its worker died"
        )

    # ------------------------------------------------------------------------- one line

    def _line(self, data: bytes) -> None:
        line = find_line(data)
        if not data.startswith(_NO_RECORD):
            self.report.records += 1
        if line is None:
            self._tell("not a line of the chain")
            self.seq, self.hash = self.seq + 1, None
            return
        if line.seq != self.seq + 1:
            self._tell(f"line {self.seq + 1} of the chain should stand here, and {line.seq} does")
        elif self.hash is not None and not follows(self.hash, line):
            self._tell("this line was changed, or the one before it and its hash")
        elif data.startswith(CHECKPOINT):
            self._checkpoint(data, line.seq)
        self.seq, self.hash = line.seq, line.hash
        if (self.boot_id, line.seq) in self.away:
            self._meet(self.away.pop((self.boot_id, line.seq)), line)

    def _checkpoint(self, data: bytes, seq: int) -> None:
        """A checkpoint inside the log must say what the chain says, signed."""
        found = find_checkpoint(data)
        self.report.checkpoints += 1
        if found is None:
            self._tell("this checkpoint cannot be read")
        elif (found.seq, found.head) != (self.seq, self.hash):
            self._tell(f"what stands {self._since()} is not what this checkpoint signed")
        elif self.keys is not None and not is_signed(found, self.keys):
            self._tell("this checkpoint is signed by none of the given keys")
        self.signed = seq

    def _meet(self, checkpoints: Sequence[Checkpoint], line: Line) -> None:
        """A line of which a checkpoint was kept elsewhere."""
        if any(checkpoint.head != line.hash for checkpoint in checkpoints):
            self._tell(f"what stands {self._since()} is not what a checkpoint elsewhere says")
        self.signed = line.seq

    def _since(self) -> str:
        return f"behind line {self.signed} of the chain" if self.signed else "up to here"

    def _look_for_cut_end(self) -> None:
        """Checkpoints of lines that are not there."""
        first = self.segments[0].number if self.segments else 0
        missing = [
            checkpoint
            for checkpoints in self.away.values()
            for checkpoint in checkpoints
            if not (self.archived and checkpoint.segment < first)
        ]
        if missing:
            last = max(missing, key=lambda checkpoint: checkpoint.seq)
            what = f"{last.seq - self.seq} lines behind this one are missing"
            if last.seq <= self.seq:
                what = "this is another log"
            self._tell(f"{what}: a checkpoint of {last.time} names line {last.seq} of the chain")


_NO_RECORD: Final = (HEADER, CHECKPOINT)
_ID: Final = re.compile(rb'"decision_id":"([^"]*)"')


def _segments(paths: Sequence[Path]) -> list[Segment]:
    """The segments in order; one whose header cannot be read stands where its name says."""
    found = []
    for path in paths:
        first = _first_line(path)
        match = FILE.fullmatch(path.name)
        assert match is not None
        header = find_header(first)
        if first or match[3]:  # an empty file of now: nothing was ever written
            named = int(match[3]) if match[3] else None
            found.append((named, Segment(path, header.segment if header else 0, header)))
    last = max((named for named, _ in found if named), default=0)
    named_well = [
        segment._replace(number=named or segment.number or last + 1) for named, segment in found
    ]
    return sorted(named_well, key=lambda segment: segment.number)


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()


def _decision_id(data: bytes) -> str:
    match = _ID.search(data)
    return match[1].decode("utf-8", "replace") if match else ""


def _range(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first} to {last}"
