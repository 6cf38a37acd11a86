"""The real thing for tests: Envoy, supervisor, workers; simulators in this process."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import yaml

from gateway_extproc.cli.keys import issue_key
from gateway_extproc.cli.processes import find_free_port
from gateway_extproc.core.secret import Secret
from gateway_simulators import ThreadedSimulator

T = TypeVar("T")
Change = Callable[[dict[str, Any]], None]

FORGIVING: dict[str, Any] = {
    "circuit": {"in_a_row": 1000, "min_requests": 10_000, "ramp_s": 0.0},
    "slow": {"factor": 1000},
    "quota": {"rest_max_s": 0.001, "rest_s": 0.001},
}
"""A section ``health`` that watches and holds nothing against a provider: for gateways of many
tests, each of which breaks a provider that the next one finds in order."""

ROOMY: dict[str, Any] = {
    "models": [
        {"model": model, "context_tokens": 10**9, "max_output_tokens": 10**9}
        for model in ("gpt-4o-mini", "gpt-4o", "claude-haiku-4-5", "claude-sonnet-4-5")
    ]
}
"""A section ``catalogue`` for tests of bytes: prompts of megabytes fit into every model."""

START_S = 120.0
RECORD_S = 5.0


@dataclass
class RunningGateway:
    """A running gateway and what a test may look at."""

    base_url: str
    admin_url: str
    envoy_admin_url: str
    keys: dict[str, str]
    run_dir: Path
    process: subprocess.Popen[bytes]
    openai: ThreadedSimulator
    anthropic: ThreadedSimulator
    provider_secrets: dict[str, str] = field(default_factory=dict)

    def client(self, key: str | None = "dev", **headers: str) -> httpx.Client:
        """A plain HTTP client with a key of this gateway (None: without one)."""
        if key is not None:
            headers["authorization"] = f"Bearer {self.keys[key]}"
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=30)

    def chat(self, text: str, *, key: str | None = "dev", **fields: Any) -> httpx.Response:
        """One chat request; fields override or add to the body."""
        body = {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": text}],
            **fields,
        }
        with self.client(key) as client:
            return client.post("/v1/chat/completions", json=body)

    def records(self) -> list[dict[str, Any]]:
        """All decision records so far; of a request that is open the one that says so."""
        lines = _lines(self.run_dir / "evidence", "decisions-*.jsonl")
        over = {record["decision_id"] for record in lines if record["outcome"] != "OPENED"}
        return [
            record for record in lines
            if record["outcome"] != "OPENED" or record["decision_id"] not in over
        ]  # fmt: skip

    def costs(self) -> list[dict[str, Any]]:
        """All cost records so far."""
        return _lines(self.run_dir / "evidence", "costs-*.jsonl")

    def record_of(self, request_id: str) -> dict[str, Any]:
        """The decision record of one request; waits for it, fails without it."""
        found = wait_for(
            lambda: [
                record
                for record in self.records()
                if record["request_id"] == request_id and record["outcome"] != "OPENED"
            ],
            RECORD_S,
            f"no decision record for {request_id}",
        )
        return found[0]

    def status(self) -> dict[str, Any]:
        """The admin server's view of the workers."""
        document: dict[str, Any] = self.admin("GET", "/status").json()
        return document

    def admin(
        self, method: str, path: str, *, key: str | None = "admin", **fields: Any
    ) -> httpx.Response:
        """One call of the admin server; fields make its JSON body."""
        headers = {} if key is None else {"authorization": f"Bearer {self.keys[key]}"}
        return httpx.request(
            method, f"{self.admin_url}{path}", headers=headers, json=fields or None, timeout=30
        )

    def log(self, name: str) -> str:
        return (self.run_dir / name).read_text()


def wait_for(look: Callable[[], T | None], timeout_s: float, failure: str) -> T:
    """The first truthy value of ``look``; an AssertionError after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(failure)
        time.sleep(0.02)


def _lines(folder: Path, pattern: str) -> list[dict[str, Any]]:
    found = []
    for file in sorted(folder.glob(pattern)):
        # The last line may be half written while it is read.
        for line in file.read_text().rpartition("\n")[0].splitlines():
            record = json.loads(line)
            if "decision_id" in record:  # else a line of the chain
                found.append(record)
    return found


@contextlib.contextmanager
def running_gateway(
    run_dir: Path,
    change: Change = lambda document: None,
    *,
    workers: int = 2,
    width: int = 6,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningGateway]:
    """Starts everything, yields it, stops it and checks that it stopped well.

    ``width`` is how many characters the providers put into one event of a stream,
    ``environment`` what the command finds beside this process's own.
    """
    provider_secrets = {name: f"sk-sim-{secrets.token_hex(16)}" for name in ("openai", "anthropic")}
    with (
        _simulator("openai", provider_secrets, width) as openai,
        _simulator("anthropic", provider_secrets, width) as anthropic,
    ):
        document, keys = _document(run_dir, provider_secrets, openai.port, anthropic.port)
        document["server"]["workers"] = workers
        change(document)
        file = run_dir / "gateway.yaml"
        file.write_text(yaml.safe_dump(document))
        server = document["server"]
        with (run_dir / "up.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway_extproc.cli.main", "up",
                 "--config", str(file), "--run-dir", str(run_dir)],
                stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        gateway = RunningGateway(
            base_url=f"http://127.0.0.1:{server['listen']['port']}",
            admin_url=f"http://127.0.0.1:{server['admin']['port']}",
            envoy_admin_url=f"http://127.0.0.1:{server['envoy_admin']['port']}",
            keys=keys,
            run_dir=run_dir,
            process=process,
            openai=openai,
            anthropic=anthropic,
            provider_secrets=provider_secrets,
        )
        try:
            _await_banner(gateway)
            yield gateway
        finally:
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert code == 0, gateway.log("up.log")


def _simulator(
    shape: Literal["openai", "anthropic"], provider_secrets: dict[str, str], width: int
) -> ThreadedSimulator:
    return ThreadedSimulator(shape, key=provider_secrets[shape], characters_per_event=width)


def _await_banner(gateway: RunningGateway) -> None:
    def look() -> bool:
        assert gateway.process.poll() is None, gateway.log("up.log")
        return "Ctrl-C stops everything" in gateway.log("up.log")

    wait_for(look, START_S, "the gateway did not start")


def _document(
    run_dir: Path, provider_secrets: dict[str, str], openai_port: int, anthropic_port: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """The demo's configuration, with tenants, keys and ports of this test."""
    template = resources.files("gateway_extproc.cli").joinpath("demo.yaml").read_text()
    document: dict[str, Any] = yaml.safe_load(template)
    folder = run_dir / "secrets"
    folder.mkdir(parents=True)
    pepper = secrets.token_hex(32)
    (folder / "pepper").write_text(pepper)
    for name, secret in provider_secrets.items():
        (folder / name).write_text(secret)
    document["server"] = {
        "socket_dir": _socket_dir(run_dir),
        "drain_s": 5.0,
        "listen": {"port": find_free_port()},
        "admin": {"port": find_free_port()},
        "envoy_admin": {"port": find_free_port()},
        # Nor about a machine that has too much to do; tests of shedding say so themselves.
        "shed": {"lag_ms": 1000.0},
    }
    # Tests under load are not about this limit; the trial tenant's is what limits tests use.
    document["limits"][0]["requests"] = 10_000_000
    document["identity"]["pepper_file"] = str(folder / "pepper")
    document["evidence"]["dir"] = str(run_dir / "evidence")
    for provider in document["providers"]:
        port = openai_port if provider["id"] == "openai" else anthropic_port
        provider["base_url"] = f"http://127.0.0.1:{port}/v1"
        provider["credential_file"] = str(folder / provider["id"])
    document["tenants"].append({"id": "clinic", "data_class": "regulated"})
    document["providers"][1]["data_classes"] = ["standard", "regulated"]
    keys: dict[str, str] = {}
    document["keys"] = []
    for name, tenant, role in (
        ("dev", "acme", "developer"),
        ("visitor", "acme", "visitor"),
        ("trial", "trial", "visitor"),
        ("clinic", "clinic", "developer"),
        ("admin", "acme", "platform-admin"),
        ("security", "acme", "security-operator"),
    ):
        keys[name], entry = issue_key(
            Secret(pepper), "test", tenant=tenant, user=name, application="tests", roles=[role]
        )
        document["keys"].append(entry)
    return document, keys


def _socket_dir(run_dir: Path) -> str:
    """Unix socket paths end at 107 bytes; deep temporary folders would not fit."""
    folder = f"/tmp/gw-{os.getpid()}-{secrets.token_hex(4)}"
    Path(folder).mkdir(mode=0o700)
    (run_dir / "sockets").symlink_to(folder)
    return folder
