"""The hash chain of a log: each line names all that stands before it.

Pure: no file, no clock.  The form is written down in docs/decision-log.md, so that others
can verify a log without this code:

    hash = SHA-256(the 32 bytes of the hash before, all bytes of the line before ,"chain":")

A line ends with ``,"seq":N,"chain":"HASH"}``.  The first line of a chain follows 32 zero bytes;
numbers and hashes go on over the segments (files) of one worker's log.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

FORMAT: Final = 1
"""Version of the lines' form, told by each segment's header."""

GENESIS: Final = bytes(32)
"""What the first line of a chain follows."""

LINK: Final = b',"chain":"'
TAIL: Final = len(LINK) + 64 + len(b'"}\n')
"""Bytes of a line that its hash does not cover."""

SEQ: Final = b',"seq":'
HEADER: Final = b'{"header":'
CHECKPOINT: Final = b'{"checkpoint":'

_MAX_DIGITS: Final = 20


class Head(NamedTuple):
    """Where a chain stands: how many lines it has, and the last one's hash."""

    seq: int = 0
    hash: bytes = GENESIS


class Line(NamedTuple):
    """A chained line, taken apart: what is hashed, its number, and the hash it claims."""

    hashed: bytes
    seq: int
    hash: bytes


def extend(head: Head, bodies: Sequence[bytes]) -> tuple[list[bytes], list[Head]]:
    """The lines of some JSON objects (``{...}``, not empty), and where each leaves the chain."""
    seq, digest = head
    lines, heads = [], []
    for body in bodies:
        seq += 1
        hashed = b"%b%b%d" % (body[:-1], SEQ, seq)
        digest = sha256(digest + hashed).digest()
        lines.append(b'%b,"chain":"%b"}\n' % (hashed, digest.hex().encode()))
        heads.append(Head(seq, digest))
    return lines, heads


def find_line(line: bytes) -> Line | None:
    """A line with its newline, taken apart; None where it has not the form of a chained one."""
    hashed, tail = line[:-TAIL], line[-TAIL:]
    if not tail.startswith(LINK) or not tail.endswith(b'"}\n'):
        return None
    at = hashed.rfind(SEQ, -len(SEQ) - _MAX_DIGITS)
    digits = hashed[at + len(SEQ) :]
    try:
        digest = bytes.fromhex(tail[len(LINK) : -3].decode())
    except ValueError:
        return None
    # Written in one way only: upper case would be the same hash, and yet another line.
    if at < 0 or not digits.isdigit() or tail[len(LINK) : -3] != digest.hex().encode():
        return None
    return Line(hashed, int(digits), digest)


def follows(before: bytes, line: Line) -> bool:
    """Whether the line is the one that was written after the line with this hash."""
    return sha256(before + line.hashed).digest() == line.hash


class Header(NamedTuple):
    """The first line of a segment; ``SegmentHeader`` in proto/gateway/v1/decision.proto."""

    log: str
    worker: int
    boot_id: str
    segment: int
    policy_revision: str
    gateway_version: str
    time: str
    previous: bytes
    previous_torn_bytes: int = 0

    def encoded(self) -> bytes:
        fields = self._asdict() | {"previous": self.previous.hex()}
        return orjson.dumps({"header": {"format": FORMAT, **fields}})


def find_header(line: bytes) -> Header | None:
    """The header in a segment's first line; None where it is none that is understood."""
    fields = _fields(line, HEADER, "header")
    if fields is None or fields.pop("format", None) != FORMAT:
        return None
    try:
        header = Header(**fields)
        return header._replace(previous=bytes.fromhex(fields["previous"]))
    except (TypeError, ValueError):
        return None


class Checkpoint(NamedTuple):
    """What a chain was at a moment, to be signed and kept elsewhere."""

    log: str
    worker: int
    boot_id: str
    segment: int
    seq: int
    head: bytes
    time: str
    key_id: str = ""
    signature: bytes = b""

    def signed_text(self) -> bytes:
        """The bytes that are signed: one value a line, nothing else."""
        values = (
            "gateway-extproc checkpoint 1", self.log, self.worker, self.boot_id, self.segment,
            self.seq, self.head.hex(), self.time, self.key_id,
        )  # fmt: skip
        return "".join(f"{value}\n" for value in values).encode()

    def encoded(self) -> bytes:
        fields = self._asdict() | {"head": self.head.hex(), "signature": self.signature.hex()}
        return orjson.dumps({"checkpoint": fields})


def find_checkpoint(line: bytes) -> Checkpoint | None:
    """The checkpoint in a line of a log or of a file of checkpoints; None where it is none."""
    fields = _fields(line, CHECKPOINT, "checkpoint")
    if fields is None:
        return None
    try:
        found = Checkpoint(**fields)
        return found._replace(
            head=bytes.fromhex(fields["head"]), signature=bytes.fromhex(fields["signature"])
        )
    except (KeyError, TypeError, ValueError):
        return None


def _fields(line: bytes, start: bytes, name: str) -> dict[str, Any] | None:
    if not line.startswith(start):
        return None
    try:
        fields = orjson.loads(line)[name]
    except (orjson.JSONDecodeError, KeyError):
        return None
    return dict(fields) if isinstance(fields, dict) else None
