"""Servers of the wire with handlers that do what a test asks for, here or in a child process."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway_extproc.core.ports import Load
from gateway_extproc.wire.server import Kind, make_server
from gateway_extproc.wire.stream import Stream, StreamAborted

TESTS = Path(__file__).parent.parent
START_S = 20.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Puppet:
    """A handler whose first message says what it shall do, and that counts how it ended.

    ``echo`` answers each message with itself, from the first on, until the peer is done.
    """

    def __init__(self) -> None:
        self.running = 0
        self.ends: collections.Counter[str] = collections.Counter()
        self.written = 0
        self.settled = 0
        self.gate = asyncio.Event()

    async def serve(self, stream: Stream) -> None:
        self.running += 1
        end = "raised"
        try:
            await self._play(stream)
            end = "returned"
        except asyncio.CancelledError:
            end = "cancelled"
            raise
        except StreamAborted:
            end = "aborted"
            raise
        finally:
            self.running -= 1
            self.ends[end] += 1

    async def _play(self, stream: Stream) -> None:
        first = await stream.read()
        if first is None:
            return
        name, _, argument = first.partition(b":")
        await _PLAYS.get(name.decode("latin-1"), _echo)(self, stream, first, argument)


async def _echo(puppet: Puppet, stream: Stream, first: bytes, _: bytes) -> None:
    message: bytes | None = first
    while message is not None:
        await stream.write(message)
        puppet.written += 1
        message = await stream.read()


async def _raise(puppet: Puppet, stream: Stream, _: bytes, argument: bytes) -> None:
    """Raises at once, or after so many answers."""
    for _number in range(int(argument or b"0")):
        await stream.write(b"an answer")
    raise ValueError("planted-4711")


async def _abort(puppet: Puppet, stream: Stream, _: bytes, argument: bytes) -> None:
    await stream.abort(argument.decode())


async def _return(puppet: Puppet, stream: Stream, _: bytes, argument: bytes) -> None:
    """Answers once and leaves, whether the peer is done or not."""
    await stream.write(argument)


async def _wait(puppet: Puppet, stream: Stream, _: bytes, argument: bytes) -> None:
    """Reads nothing until the test opens the gate, then echoes."""
    await stream.write(b"waiting")
    await puppet.gate.wait()
    while (message := await stream.read()) is not None:
        await stream.write(message)


async def _flood(puppet: Puppet, stream: Stream, _: bytes, argument: bytes) -> None:
    """Writes COUNT,SIZE messages as fast as it is let, then leaves."""
    count, size = map(int, argument.split(b","))
    answer = bytes(size)
    for _number in range(count):
        await stream.write(answer)
        puppet.written += 1


async def _collect(puppet: Puppet, stream: Stream, _: bytes, argument: bytes) -> None:
    """Reads to the end of the stream, then tells how much came."""
    size = 0
    while (message := await stream.read()) is not None:
        size += len(message)
    await stream.write(b"%d" % size)


async def _settle(puppet: Puppet, stream: Stream, _: bytes, argument: bytes) -> None:
    """Answers, waits for the gate, and takes so many seconds to settle, however it ends."""
    try:
        await stream.write(b"waiting")
        await puppet.gate.wait()
    finally:
        await asyncio.sleep(float(argument))
        puppet.settled += 1


async def _farewell(puppet: Puppet, stream: Stream, _: bytes, argument: bytes) -> None:
    """Answers, waits for the gate, and answers once more, however it ends."""
    try:
        await stream.write(b"waiting")
        await puppet.gate.wait()
    finally:
        await stream.write(b"farewell")


Play = Callable[[Puppet, Stream, bytes, bytes], Awaitable[None]]
_PLAYS: dict[str, Play] = {
    "raise": _raise,
    "abort": _abort,
    "return": _return,
    "wait": _wait,
    "flood": _flood,
    "collect": _collect,
    "settle": _settle,
    "farewell": _farewell,
}


# ------------------------------------------------------------------- in a child process


@dataclass(frozen=True)
class Child:
    """A server in its own process."""

    pid: int
    address: str

    @property
    def rss_bytes(self) -> int:
        """Memory that is really held."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    @property
    def peak_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def child_server(kind: Kind, address: str, **limits: float) -> Iterator[Child]:
    """Serves ``Puppet`` on an address in a child process; it must end well.

    ``limits`` replaces what the fast server waits for, so that a test need not wait as long.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))}
    process = subprocess.Popen(
        [sys.executable, "-m", "support.wire_child", kind, address,
         *(f"{name}={value}" for name, value in limits.items())],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "ready\n", process.communicate(timeout=5)[1]
        yield Child(process.pid, address)
        assert process.poll() is None, f"the server died: {process.communicate()[1]}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            _, errors = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors


async def serve_puppet(kind: Kind, address: str) -> None:
    """What the child does: serves until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = make_server(kind, Puppet(), Load(), address)
    await server.start()
    print("ready", flush=True)
    await stop.wait()
    await server.drain(0)
