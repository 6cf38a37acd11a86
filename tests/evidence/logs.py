"""Chained logs on disk, as a worker leaves them, and their checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway_extproc.evidence.chain import Checkpoint
from gateway_extproc.evidence.checkpoints import Signer, key_id
from gateway_extproc.evidence.segments import SegmentRules, Segments, rotated_segments


@dataclass
class Key:
    """A signing key, as its file holds it, and its public half by its id."""

    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def pem(self) -> bytes:
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public(self) -> dict[str, Ed25519PublicKey]:
        key = self.private.public_key()
        return {key_id(key): key}


@dataclass
class Log:
    """Where one worker's decisions are written, boot after boot."""

    folder: Path
    key: Key | None = None
    max_bytes: int = 1 << 30
    checkpoint_records: int = 10_000
    shipped: list[Checkpoint] = field(default_factory=list)
    boots: int = 0

    def boot(self, **more: Any) -> Segments:
        """A worker process opens the log."""
        self.boots += 1
        rules = SegmentRules(
            max_bytes=self.max_bytes,
            checkpoint_records=self.checkpoint_records,
            signer=Signer(self.key.pem) if self.key else None,
            ship=self.shipped.append,
            policy_revision="rev-1",
            gateway_version="1",
            boot_id=f"{self.boots:032x}",
        )
        return Segments(self.folder, "decisions", 0, rules, **more)

    @property
    def active(self) -> Path:
        return self.folder / "decisions-0.jsonl"

    @property
    def paths(self) -> list[Path]:
        """The segments, the one of now last (if its writer was not killed before it began)."""
        earlier = rotated_segments(self.active).values()
        return [*earlier, *([self.active] if self.active.exists() else [])]

    def ids(self) -> list[str]:
        """The decisions in the files, in order."""
        return ids_in(self.paths)


def bodies(numbers: Iterable[int]) -> list[bytes]:
    """Records with these numbers in their ids."""
    return [
        orjson.dumps({"decision_id": f"d-{n:06d}", "tenant": "acme", "trail": [{"rule": "r" * 40}]})
        for n in numbers
    ]


def ids_in(paths: Sequence[Path]) -> list[str]:
    """The decision ids of all whole lines that are records."""
    found = []
    for path in paths:
        for line in path.read_bytes().rpartition(b"\n")[0].splitlines():
            record = orjson.loads(line)
            if "decision_id" in record:
                found.append(record["decision_id"])
    return found
