"""The supervisor itself: real workers, real files, no Envoy before them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_extproc.app import read_config
from gateway_extproc.cli import serve
from gateway_extproc.cli.processes import find_free_port
from gateway_extproc.cli.serve import Supervisor
from support import bodies
from support.adminapi import RpcClient
from support.config import PEPPER, SECRETS, document, key_entry
from support.gate import SHIPPED_ROLES, key_of


def text_of(folder: Path) -> str:
    """A configuration whose files all lie in a folder, with a key for each shipped role."""
    keys = [key_entry(key_of(role), "acme", role, role) for role in SHIPPED_ROLES]
    made = document(keys=keys)
    made["server"] = {
        "workers": 1, "socket_dir": str(folder / "s"),
        "admin": {"address": "127.0.0.1", "port": find_free_port()},
    }  # fmt: skip
    made["identity"] = {"pepper_file": str(folder / "pepper")}
    made["evidence"] = {"dir": str(folder / "evidence")}
    (folder / "pepper").write_text(PEPPER)
    for provider in made["providers"]:
        provider["credential_file"] = str(folder / provider["id"])
        (folder / provider["id"]).write_text(SECRETS[provider["id"]])
    return yaml.safe_dump(made)


def named(days: int) -> str:
    """A file of texts whose last day lies so many days from now."""
    return f"texts-0-{datetime.now(UTC) + timedelta(days=days):%Y%m%d}.jsonl"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Supervisor]:
    text = text_of(folder)
    made = Supervisor(read_config(text), text)
    await made.start()
    try:
        yield made
    finally:
        await made.stop(1.0)


async def until(holds: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.02)


async def test_texts_whose_time_is_over_go_when_a_gateway_starts_and_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "RETENTION_PAUSE_S", 0.05)
    folder = tmp_path / "evidence"
    folder.mkdir()
    for days in (-1, 0):
        (folder / named(days)).write_text("{}\n")
    async with running(tmp_path):
        await until(lambda: not (folder / named(-1)).exists())
        assert (folder / named(0)).exists()

        # One that cannot be deleted is told once, and saves no other.
        (folder / named(-3)).mkdir()
        (folder / named(-2)).write_text("{}\n")
        await until(lambda: not (folder / named(-2)).exists())
        await until(lambda: named(-3) in caplog.text)
        await asyncio.sleep(0.3)
        assert sum("retention: " in line for line in caplog.messages) == 1
        (folder / named(-3)).rmdir()
        await until(lambda: "retention: works again" in caplog.messages)
    (folder / named(-1)).write_text("{}\n")
    await asyncio.sleep(0.3)
    assert (folder / named(-1)).exists()  # nobody looks any more


async def test_a_running_gateway_explains_by_the_configuration_it_has(tmp_path: Path) -> None:
    socket = tmp_path / "s" / "admin.sock"
    async with running(tmp_path) as supervisor, RpcClient(socket, key_of("auditor")) as client:
        asked: dict[str, Any] = {
            "body": bodies.chat("a forbidden zebra").decode(), "tenant": "acme", "user": "ann",
        }  # fmt: skip
        told = await client.call("Explain", timeout_s=60, **asked)
        assert told["refusal"]["reason"] == "prompt_blocked"
        status = await client.call("GetStatus")
        assert status["revision"] == told["policy_revision"] == supervisor.revision
