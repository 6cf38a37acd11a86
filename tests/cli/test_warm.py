"""The fork server starts before the command has imported what it needs itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gateway_extproc.cli.warm import preload

SCRIPT = """
import sys
from multiprocessing import forkserver
from pathlib import Path
from gateway_extproc.cli.main import build_parser
from gateway_extproc.cli import warm
warm._ALWAYS = ()  # nothing that takes long
warm.warm_up(Path(sys.argv[1]))
print(forkserver._forkserver._forkserver_pid, *sorted(
    name for name in ("gateway_extproc.app", "numpy", "grpc", "pydantic") if name in sys.modules))
sys.stdout.flush()
sys.stdin.read()
"""


def test_the_fork_server_runs_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "nothing.yaml")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    pid, *imported = process.stdout.readline().split()
    assert imported == []
    os.kill(int(pid), 0)
    process.communicate("")
    assert process.returncode == 0


def test_language_rules_share_their_tables() -> None:
    assert "gateway_extproc.guards.preloadlanguages" in preload("guards: [{kind: language}]")
    assert "gateway_extproc.guards.preloadlanguages" not in preload("guards: []")
