"""A real redis-server of the test's own, that can be stopped, frozen and emptied."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis

from gateway_extproc.cli.processes import find_free_port


@dataclass
class RedisServer:
    """One server on one port; ``start`` after ``stop`` finds its data again."""

    folder: Path
    port: int = field(default_factory=find_free_port)
    process: subprocess.Popen[bytes] | None = None
    fsync: str = "always"
    """When it writes to the disk; ``always`` keeps a caller waiting for some 20 ms now and then."""

    def start(self, options: Sequence[str] = ()) -> None:
        binary = shutil.which("redis-server")
        assert binary is not None, "redis-server is not installed"
        with (self.folder / "redis.log").open("ab") as output:
            self.process = subprocess.Popen(
                [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "yes", "--appendfsync", self.fsync, "--dir", str(self.folder),
                 *options],
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._await()

    def _await(self) -> None:
        for _ in range(500):
            with contextlib.suppress(redis.RedisError, OSError), self.client() as client:
                client.ping()
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "redis.log").read_text())

    def client(self) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5)

    def kill(self) -> None:
        """As a crash: nobody is told."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def redis_server(folder: Path, fsync: str = "always") -> Iterator[RedisServer]:
    """A running server; ended by its id."""
    server = RedisServer(folder, fsync=fsync)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def refused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
