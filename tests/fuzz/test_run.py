"""A small form of ``python -m fuzz.run``, without atheris."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize(("kind", "count"), [("frames", 1500), ("bytes", 1500)])
def test_no_input_breaks_a_rule(kind: str, count: int) -> None:
    """In a process of its own, because the limits are smaller there."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))}
    command = [sys.executable, "-m", "fuzz.run", kind, "--random", str(count)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-3000:]
