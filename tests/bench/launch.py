"""Starts what a run needs, and ends it by its ids."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from bench.listeners import PLAIN_PROVIDER, STREAM_PROVIDER, envoy_document
from bench.stand import BenchError, Stand, Target
from bench.workloads import HOST, PLAIN_MODEL, STREAM_MODEL
from gateway_extproc.cli.keys import issue_key
from gateway_extproc.cli.processes import envoy_binary, find_free_port
from gateway_extproc.config.load import load as load_config
from gateway_extproc.core.secret import Secret

Json = dict[str, Any]
T = TypeVar("T")

START_S: Final = 30.0
TESTS: Final = Path(__file__).parent.parent


@contextlib.contextmanager
def running(
    folder: Path, rows: Sequence[str], change: Callable[[Json], None] = lambda document: None
) -> Iterator[Stand]:
    """All processes that ``rows`` need, each row proven to do what is measured.

    ``change`` edits the gateways' configuration.
    """
    with Children(folder) as children:
        stand = _start(folder, rows, children, change)
        for row in rows:
            _patiently(lambda row=row: stand.prove(row), children)  # type: ignore[misc]
        yield stand


class Children:
    """Child processes with a log file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            process.wait(timeout=30)

    def start(self, name: str, *command: str) -> int:
        """The id of the new process; ``python`` in front of a module is this Python."""
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        with (self._folder / f"{name}.log").open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        self._processes[name] = process
        return process.pid

    def check(self) -> None:
        """Raises ``BenchError`` with its last words when a child has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = (self._folder / f"{name}.log").read_text()
                raise BenchError(f"{name} ended with {process.returncode}\n{log[-2000:]}")


def _start(
    folder: Path, rows: Sequence[str], children: Children, change: Callable[[Json], None]
) -> Stand:
    ports = {row: find_free_port() for row in rows}
    stream_port, direct_port = find_free_port(), find_free_port()
    base, key = gateway_document(folder, direct_port, stream_port)
    change(base)
    provider_pid = children.start("provider", *_python("bench.provider"), str(stream_port))
    sockets: dict[str, str] = {}
    pids: dict[str, int] = {}
    for row in rows:
        kind, _, wire = row.partition("-")
        if kind == "noop":
            sockets[row] = str(folder / f"{row}.sock")
            pids[row] = children.start(
                row, *_python("bench.noop_server"), sockets[row], "--wire", wire
            )
        elif kind == "gateway":
            sockets[row], pids[row] = _start_gateway(folder / row, base, wire, key, children)
    envoy_file = folder / "envoy.yaml"
    config = load_config(yaml.safe_dump(base))
    envoy_file.write_text(yaml.safe_dump(envoy_document(config, ports, sockets, direct_port)))
    envoy_pid = children.start(
        "envoy", str(envoy_binary()), "-c", str(envoy_file),
        "--concurrency", "1", "--disable-hot-restart", "--log-level", "error",
    )  # fmt: skip
    return Stand(
        targets={row: Target(port, pids.get(row)) for row, port in ports.items()},
        envoy_pid=envoy_pid,
        envoy_admin_port=base["server"]["envoy_admin"]["port"],
        provider_pid=provider_pid,
        key=key,
    )


def _start_gateway(
    folder: Path, base: Json, wire: str, key: str, children: Children
) -> tuple[str, int]:
    """A ``serve`` with one worker: the worker's socket and its process."""
    document = copy.deepcopy(base)
    folder.mkdir()
    server = document["server"]
    server |= {"socket_dir": str(folder), "wire": wire, "admin": {"port": find_free_port()}}
    document["evidence"]["dir"] = str(folder / "evidence")
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(document))
    children.start(
        folder.name, *_python("gateway_extproc.cli.main"), "serve", "--config", str(file)
    )
    url = f"http://{HOST}:{server['admin']['port']}/status"
    (worker,) = _patiently(lambda: _ready_status(url, key), children)["workers"]
    return str(folder / "worker-0.sock"), worker["pid"]


def _ready_status(url: str, key: str) -> Json:
    request = urllib.request.Request(url, headers={"x-api-key": key})
    with urllib.request.urlopen(request, timeout=1) as answer:
        status: Json = json.loads(answer.read())
    if not status["ready"]:
        raise BenchError(f"{url}: not ready")
    return status


def _patiently(attempt: Callable[[], T], children: Children) -> T:
    """Repeats ``attempt`` while processes come up and Envoy makes its first health checks."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return attempt()
        except (OSError, BenchError):
            children.check()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _python(module: str) -> tuple[str, ...]:
    return sys.executable, "-m", module


def gateway_document(folder: Path, direct_port: int, stream_port: int) -> tuple[Json, str]:
    """The demo's configuration, every stage on, before what differs between two gateways."""
    template = resources.files("gateway_extproc.cli").joinpath("demo.yaml").read_text()
    document: Json = yaml.safe_load(template)
    pepper = secrets.token_hex(16)
    for name in ("pepper", "credential"):
        (folder / name).write_text(pepper)
    key, entry = issue_key(
        Secret(pepper), "bench", tenant="acme", user="u", application="a",
        roles=["developer", "finops"],  # finops may read /status
    )  # fmt: skip
    document["keys"] = [entry]
    document["server"] = {
        "workers": 1, "socket_dir": str(folder), "drain_s": 1.0,
        # A full loop is what is measured here, not what is turned away.
        "shed": {"lag_ms": 1000},
        "envoy_admin": {"port": find_free_port()},
    }  # fmt: skip
    document["identity"]["pepper_file"] = str(folder / "pepper")
    document["evidence"]["dir"] = str(folder / "evidence")
    # Limits are checked as ever, and never reached.
    document["limits"][0]["requests"] = 10_000_000
    document["providers"] = [
        {
            "id": name,
            "dialect": "openai",
            "base_url": f"http://{HOST}:{port}/v1",
            "credential_file": str(folder / "credential"),
        }
        for name, port in ((PLAIN_PROVIDER, direct_port), (STREAM_PROVIDER, stream_port))
    ]
    document["models"] = [
        {"model": model, "targets": [{"provider": provider, "model": model}]}
        for model, provider in ((PLAIN_MODEL, PLAIN_PROVIDER), (STREAM_MODEL, STREAM_PROVIDER))
    ]
    return document, key
