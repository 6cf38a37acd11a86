"""h2spec against the fast server: every case of it but those that RFC 9113 took back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_extproc.cli.processes import find_free_port

ROOT = Path(__file__).parent.parent.parent
EXCEPTIONS = {
    # RFC 7540, section 5.3.1, forbade it; RFC 9113, section 5.3.2, deprecates priorities, and
    # its section 6.3 has no such rule any more.
    "Sends HEADERS frame that depend on itself",
    "Sends PRIORITY frame that depend on itself",
}


def h2spec() -> str:
    found = os.environ.get("H2SPEC") or shutil.which(
        "h2spec", path=os.pathsep.join((str(ROOT / "build"), os.environ["PATH"]))
    )
    if not found:
        pytest.skip("no h2spec here; `make h2spec` builds it where Go is")
    return found


@pytest.fixture
def port() -> Iterator[int]:
    """The fast server, widened for h2spec, in a process of its own."""
    chosen = find_free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "support.h2spec_server", f"127.0.0.1:{chosen}"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate(timeout=5)[1]
    yield chosen
    assert process.poll() is None, "the server died"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors, errors


def test_h2spec_finds_nothing_that_is_not_excepted(port: int, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    result = subprocess.run(
        [h2spec(), "--host", "127.0.0.1", "--port", str(port), "--timeout", "3", "--strict",
         "--junit-report", str(report)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = {
        case.get("classname", "")
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    print(f"h2spec: {len(cases)} cases, failed: {sorted(failed)}")
    assert len(cases) == 146, result.stdout
    assert failed == EXCEPTIONS, result.stdout
