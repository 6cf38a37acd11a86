"""Workers die, drain and reload; the gateway stays, and nothing passes unprocessed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway_extproc.cli.processes import find_free_port
from support.gateway import RunningGateway, running_gateway, wait_for

CONNECTIONS = 16
CARD = "4111 1111 1111 1111"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Card {CARD} please"}]}


@dataclass
class Tally:
    """What clients saw while something happened to the gateway."""

    ok: int = 0
    failed: list[str] = field(default_factory=list)
    unprocessed: list[str] = field(default_factory=list)


@pytest.fixture(scope="module", params=["fast", "grpcio"])
def busy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """A gateway on either server: what happens to workers is the same on both."""

    def change(document: dict[str, Any]) -> None:
        document["server"]["wire"] = request.param

    with running_gateway(tmp_path_factory.mktemp("busy"), change) as gateway:
        yield gateway
        assert not gateway.openai.violations, gateway.openai.violations


async def _client(gateway: RunningGateway, tally: Tally, until: float) -> None:
    headers = {"authorization": f"Bearer {gateway.keys['dev']}"}
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=headers, timeout=20) as client:
        while time.monotonic() < until:
            try:
                answer = await client.post("/v1/chat/completions", json=BODY)
            except httpx.HTTPError as error:
                tally.failed.append(repr(error))
                continue
            if answer.status_code != 200:
                tally.failed.append(f"{answer.status_code} {answer.text[:120]}")
            elif CARD in answer.text or "[CARD]" not in answer.text:
                tally.unprocessed.append(answer.text)
            else:
                tally.ok += 1


async def _under_load(gateway: RunningGateway, seconds: float) -> Tally:
    """What so many clients see in so many seconds."""
    tally = Tally()
    until = time.monotonic() + seconds
    await asyncio.gather(*(_client(gateway, tally, until) for _ in range(CONNECTIONS)))
    return tally


def _pids(gateway: RunningGateway) -> dict[int, int]:
    return {row["worker"]: row["pid"] for row in gateway.status()["workers"] if row["ready"]}


async def test_a_killed_worker_takes_only_its_requests_with_it(busy: RunningGateway) -> None:
    before = _pids(busy)
    load = asyncio.create_task(_under_load(busy, 6.0))
    await asyncio.sleep(1.5)
    os.kill(before[0], signal.SIGKILL)
    killed = time.monotonic()
    while True:
        await asyncio.sleep(0.02)
        now = await asyncio.to_thread(_pids, busy)
        if now.get(0) not in (None, before[0]):
            break
        assert time.monotonic() - killed < 2.0, "the worker was not back within 2 s"
    back_s = time.monotonic() - killed
    tally = await load
    print(f"back after {back_s:.2f} s; {tally.ok} ok, {len(tally.failed)} failed")
    assert tally.unprocessed == []
    assert len(tally.failed) <= CONNECTIONS, tally.failed
    assert tally.ok > 200
    assert _pids(busy)[1] == before[1], "the other worker was restarted, too"


async def test_a_draining_worker_fails_nobody(busy: RunningGateway) -> None:
    """SIGTERM to a worker: NOT_SERVING, then a grace; the supervisor starts another."""
    before = _pids(busy)
    load = asyncio.create_task(_under_load(busy, 5.0))
    await asyncio.sleep(1.0)
    os.kill(before[1], signal.SIGTERM)
    tally = await load
    assert tally.failed == []
    assert tally.unprocessed == []
    wait_for(lambda: _pids(busy).get(1) not in (None, before[1]), 10, "no successor")


async def test_a_reload_rolls_over_without_a_failure(busy: RunningGateway) -> None:
    file = busy.run_dir / "gateway.yaml"
    document = yaml.safe_load(file.read_text())
    document["models"].append(
        {"model": "brand-new", "targets": [{"provider": "openai", "model": "gpt-4o-mini"}]}
    )
    before = busy.status()["revision"]
    file.write_text(yaml.safe_dump(document))
    load = asyncio.create_task(_under_load(busy, 9.0))
    busy.process.send_signal(signal.SIGHUP)
    tally = await load
    assert tally.failed == []
    wait_for(lambda: busy.status()["revision"] != before, 30, "the old policy still holds")
    assert busy.chat("hello", model="brand-new").status_code == 200


def test_a_bad_file_changes_nothing(busy: RunningGateway) -> None:
    file = busy.run_dir / "gateway.yaml"
    good = file.read_text()
    before = busy.status()
    try:
        file.write_text("version: 2\nnonsense: true\n")
        busy.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload refused" in busy.log("up.log"), 5, "nothing was said")
    finally:
        file.write_text(good)
    after = busy.status()
    assert after["revision"] == before["revision"]
    assert [w["pid"] for w in after["workers"]] == [w["pid"] for w in before["workers"]]


def test_without_workers_nothing_passes(tmp_path: Path) -> None:
    """Fail closed: a gateway without its processor serves nobody."""
    with running_gateway(tmp_path) as gateway:
        for pid in _pids(gateway).values():
            os.kill(pid, signal.SIGSTOP)
        try:
            answer = gateway.chat("Anybody home?")
        finally:
            for pid in _pids(gateway).values():
                os.kill(pid, signal.SIGCONT)
        assert answer.status_code in (500, 503, 504)
        assert answer.json()["error"]["code"] == "gateway_error"
        assert not gateway.openai.requests


def _up(folder: Path, **ports: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **{name: str(port) for name, port in ports.items()}}
    return subprocess.run(
        [sys.executable, "-m", "gateway_extproc.cli.main", "up", "--run-dir", str(folder)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def _free_ports() -> dict[str, int]:
    return {
        name: find_free_port()
        for name in ("GATEWAY_PORT", "GATEWAY_ADMIN_PORT", "ENVOY_ADMIN_PORT")
    }


@pytest.mark.parametrize("variable", ["GATEWAY_PORT", "GATEWAY_ADMIN_PORT", "ENVOY_ADMIN_PORT"])
def test_a_busy_port_is_named_in_one_line(tmp_path: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = _up(tmp_path, **{**_free_ports(), variable: port})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert f"port {port}" in result.stderr
    assert variable in result.stderr


def test_the_demo_can_be_run_again_at_once() -> None:
    """Its rate limit must not remember the demo before it."""
    folder = Path(f"/tmp/gw-demo-{os.getpid()}")
    command = [sys.executable, "-m", "gateway_extproc.cli.main", "demo", "--run-dir", str(folder)]
    for _ in range(2):
        environment = {**os.environ, **{name: str(port) for name, port in _free_ports().items()}}
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert "9 of 9 steps" in result.stdout


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    folder = Path(f"/tmp/gw-up-{os.getpid()}")
    ports = _free_ports()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway_extproc.cli.main", "up", "--run-dir", str(folder)],
        env={**os.environ, **{name: str(port) for name, port in ports.items()}},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C stops everything" in line:
            break
    text = "".join(lines)
    assert f"http://127.0.0.1:{ports['GATEWAY_PORT']}" in text
    assert "curl http" in text
    environment = dict(
        line.split("=", 1) for line in (folder / "demo.env").read_text().splitlines()
    )
    assert set(environment) == {
        "OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY",
        "GATEWAY_ADMIN_KEY",
    }  # fmt: skip
    children = _descendants(process.pid)
    assert len(children) >= 4
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    wait_for(lambda: not any(map(_alive, children)), 10, "a child outlived the command")
    for port in ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_killed_supervisor_leaves_nobody_behind(tmp_path: Path) -> None:
    gateway_children: list[int] = []
    with contextlib.suppress(AssertionError), running_gateway(tmp_path) as gateway:
        gateway_children = _descendants(gateway.process.pid)
        gateway.process.kill()
        wait_for(lambda: not any(map(_alive, gateway_children)), 20, "a child was left behind")
    assert gateway_children
    assert not any(map(_alive, gateway_children))


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def _alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
