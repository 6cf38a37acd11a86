"""Signs where a log's chain stands, and ships that elsewhere.

A chain alone cannot tell that its end was cut off, nor that somebody wrote all of it anew: a
signed checkpoint that is kept where the log's host cannot change it does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from gateway_extproc.evidence.chain import Checkpoint

log = logging.getLogger(__name__)

WAITING: Final = 1000
"""Checkpoints that wait for a slow receiver at most; a later one says all that they say."""

Ship = Callable[[bytes], object]
"""Takes a checkpoint's line away; may block, and may raise OSError."""


def key_id(key: Ed25519PublicKey) -> str:
    """Names a public key: the first 16 hex digits of the SHA-256 of its 32 bytes."""
    return sha256(key.public_bytes_raw()).hexdigest()[:16]


class Signer:
    """Signs checkpoints with one Ed25519 key (PEM, PKCS #8); raises ValueError for another."""

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("not an unencrypted private key in PEM") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("not an Ed25519 key")
        self._key = key
        self.key_id = key_id(key.public_key())

    def signed(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with this key's id and signature."""
        named = checkpoint._replace(key_id=self.key_id)
        return named._replace(signature=self._key.sign(named.signed_text()))


def load_public_keys(pems: Iterable[bytes]) -> dict[str, Ed25519PublicKey]:
    """Public keys by their ids; raises ValueError for what is no Ed25519 key in PEM."""
    keys = {}
    for pem in pems:
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("not a public key in PEM") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("not an Ed25519 key")
        keys[key_id(key)] = key
    return keys


def is_signed(checkpoint: Checkpoint, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Whether one of these keys signed the checkpoint."""
    key = keys.get(checkpoint.key_id)
    if key is None:
        return False
    try:
        key.verify(checkpoint.signature, checkpoint.signed_text())
    except InvalidSignature:
        return False
    return True


class Shipper:
    """Hands checkpoints to their receivers, each on a thread of its own.

    A receiver that blocks (a full pipe, a collector that is away) or fails holds up neither the log
    nor another receiver.  What one did not get is counted; the next one that it gets says
    all that those before it said.
    """

    def __init__(self, receivers: Sequence[tuple[str, Ship]]) -> None:
        self._on_loss: Callable[[int], object] = lambda count: None
        self._lanes = [_Lane(name, ship, self._lose) for name, ship in receivers]

    def count_losses(self, on_loss: Callable[[int], object]) -> None:
        """What is told how many checkpoints a receiver did not get."""
        self._on_loss = on_loss

    def ship(self, checkpoint: Checkpoint) -> None:
        """Takes a checkpoint; never blocks, never raises."""
        line = checkpoint.encoded() + b"\n"
        for lane in self._lanes:
            lane.put(line)

    def close(self, timeout_s: float = 2.0) -> None:
        """Ships what waits, within the time."""
        until_s = time.monotonic() + timeout_s
        for lane in self._lanes:
            lane.end()
        for lane in self._lanes:
            lane.join(max(0.0, until_s - time.monotonic()))
        self._on_loss = lambda count: None  # who counted them closes next

    def _lose(self, count: int) -> None:
        self._on_loss(count)


class _Lane:
    """One receiver, what waits for it, and the thread that waits for the receiver."""

    def __init__(self, name: str, ship: Ship, on_loss: Callable[[int], object]) -> None:
        self._name, self._ship, self._on_loss = name, ship, on_loss
        self._failing = False
        self._queue: Queue[bytes] = Queue(WAITING)
        self._ended = False
        self._thread = Thread(target=self._run, name=f"checkpoints {name}", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        try:
            self._queue.put_nowait(line)
        except Full:
            self._on_loss(1)

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        with contextlib.suppress(Full):  # else it sees that when it has a line to ship
            self._queue.put_nowait(b"")

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not (self._ended and self._queue.empty()):
            if line := self._queue.get():
                self._hand(line)

    def _hand(self, line: bytes) -> None:
        try:
            self._ship(line)
        except Exception as error:
            self._on_loss(1)
            if not self._failing:  # once an outage
                log.error("checkpoints do not reach %s: %s", self._name, error)
            self._failing = True
        else:
            self._failing = False


def to_stdout(line: bytes) -> None:
    """Where a container's log collector takes it."""
    data = memoryview(line)
    while data:
        data = data[os.write(sys.__stdout__.fileno() if sys.__stdout__ else 1, data) :]


def to_file(path: Path) -> Ship:
    """Appends to a file that several workers share; best on another file system."""

    def ship(line: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(file, line) < len(line):
                raise OSError(f"{path} has no room for a checkpoint")
            os.fdatasync(file)
        finally:
            os.close(file)

    return ship
