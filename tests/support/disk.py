"""A disk that can be full or slow, and a recorder that writes to it."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

from gateway_extproc.evidence.metrics import KnownLabels
from gateway_extproc.evidence.recorder import Durability, EvidenceRecorder, open_evidence


class Disk:
    """``fdatasync`` of a disk that can be full or slow."""

    def __init__(self) -> None:
        self.full = False
        self.slow_s = 0.0
        self.syncs = 0

    def __call__(self, file: int) -> None:
        self.syncs += 1
        time.sleep(self.slow_s)
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fdatasync(file)


def opened(folder: Path, disk: Disk, **durability: Any) -> EvidenceRecorder:
    return open_evidence(
        folder / "evidence", folder / "metrics", version="1", worker=0, prompt_key=b"k",
        known=KnownLabels(), durability=Durability(**durability), sync=disk,
    )  # fmt: skip
