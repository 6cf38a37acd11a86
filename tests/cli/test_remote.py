"""Commands that ask a running gateway: roles, tenants and the admin log hold for them, too."""

from __future__ import annotations

import asyncio
import csv
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gateway_extproc.cli import sources
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.main import main
from gateway_extproc.cli.remote import target_of
from support import bodies
from support.adminapi import BETA_AUDITOR, cost, decision, fill, write
from support.adminworld import AdminWorld
from support.gate import key_of

AUDITOR = key_of("auditor")
RICH = {
    "role": "developer", "rule": "base", "cost_nanos": 412_000, "duration_ms": 12.5,
    "policy_revision": "abc", "worker": 0, "gateway_version": "1", "roles": ["developer"],
    "trail": [
        {"stage": "identify", "phase": "request_headers", "verdict": "continue",
         "microseconds": 0},
        {"stage": "guard", "phase": "request_body", "verdict": "amend", "rule": "no-emails",
         "microseconds": 12},
    ],
    "limits": [{"id": "per-user", "measure": "requests", "limit": 60, "remaining": 0,
                "held": 0, "allowed": False, "mode": "enforce"}],
    "findings": [{"rule": "no-emails", "kind": "pii.email", "direction": "request",
                  "action": "mask", "mode": "enforce", "path": "messages[0]", "start": 0,
                  "end": 7, "score": 1.0}],
    "attempts": [{"target": "east/small-1", "cluster": "east", "status": 200, "outcome": "ok"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 0, "source": "reported"},
    "requested_model": "small",
}  # fmt: skip


class Commands:
    """Runs commands against the gateway, as whoever holds a key."""

    def __init__(self, world: AdminWorld, capsys: pytest.CaptureFixture[str]) -> None:
        self.world, self.capsys = world, capsys
        self.err = ""

    async def __call__(self, *words: str, key: str = AUDITOR, code: int = 0, at: str = "") -> str:
        file = self.world.folder / "key"
        file.write_text(f"{key}\n")
        where = ["--admin-key-file", str(file), "--admin", at or f"unix:{self.world.socket}"]
        found = await asyncio.to_thread(main, [*words, *where])
        out, self.err = self.capsys.readouterr()
        assert found == code, self.err
        return out

    async def json(self, *words: str, key: str = AUDITOR) -> list[dict[str, Any]]:
        out = await self(*words, "--json", key=key)
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AdminWorld]:
    fill(tmp_path)
    made = AdminWorld(tmp_path)
    await made.server.start()
    yield made
    made.records.close()
    await made.server.stop()
    made.store.close()


@pytest.fixture
def run(world: AdminWorld, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(world, capsys)


async def test_decisions_are_those_that_the_key_may_see(run: Commands) -> None:
    found = await run.json("decisions", "query")
    assert [one["decision_id"] for one in found] == ["d3", "d2", "d1"]
    assert f"asked the gateway at unix:{run.world.socket}" in run.err
    own = await run.json("decisions", "query", key=BETA_AUDITOR)
    assert [one["decision_id"] for one in own] == ["d2"]
    for words in (["--tenant", "acme"], ["--tenant", "acme", "--count"]):
        await run("decisions", "query", *words, key=BETA_AUDITOR, code=1)
        assert "every_tenant" in run.err
    await run("decisions", "query", key=key_of("finops"), code=1)
    assert "view_decisions" in run.err
    await run("decisions", "query", key="gw_test_0_x", code=1)
    assert "invalid_api_key" in run.err
    assert [line["status"] for line in run.world.log] == [200, 200, 403, 403, 403, 401]


async def test_every_filter_means_what_it_means_on_files(run: Commands) -> None:
    write(run.world.folder / "decisions-0.jsonl", decision(4, provider="east", route="r-1",
          endpoint="chat", application="portal", credential_id="k-1", target_model="small-1",
          **{**RICH, "outcome": "OPENED", "status": 0}))  # fmt: skip
    asked = (
        ["--user", "bo"], ["--reason", "prompt_blocked"], ["--outcome", "refused"],
        ["--outcome", "interrupted"], ["--rule", "no-emails"], ["--rule", "developer/base"],
        ["--model", "small-1"], ["--model", "small"], ["--provider", "east"],
        ["--route", "r-1"], ["--endpoint", "chat"], ["--application", "portal"],
        ["--key", "k-1"], ["--since", "2026-05-06T12:00:02"],
        ["--until", "2026-05-06T12:00:02"], ["--tenant", "acme", "--outcome", "allowed"],
    )  # fmt: skip
    for words in asked:
        there = await run.json("decisions", "query", *words)
        here = await asyncio.to_thread(
            main, ["decisions", "query", *words, "--json", "--dir", str(run.world.folder)]
        )
        lines = run.capsys.readouterr().out.splitlines()
        assert here == 0
        assert [one["decision_id"] for one in there] == [
            json.loads(line)["decision_id"] for line in lines
        ], words
        assert 0 < len(there) < 4, words


async def test_a_record_is_shown_as_it_stands_in_the_file(run: Commands) -> None:
    record = decision(5, **RICH)
    write(run.world.folder / "decisions-0.jsonl", record)
    (there,) = await run.json("decisions", "show", "d5")
    for name in record:
        if name not in ("worker", "findings", "limits", "trail", "usage", "attempts"):
            assert there[name] == record[name], name
    assert there["findings"][0].items() >= RICH["findings"][0].items()  # type: ignore[index]
    assert there["limits"][0].items() >= RICH["limits"][0].items()  # type: ignore[index]
    text = await run("decisions", "show", "r5")
    assert "no-emails" in text
    assert "412000" in text.replace(",", "").replace(".", "")
    await run("decisions", "show", "d9", code=1)
    assert "d9" in run.err
    await run("decisions", "show", "d5", key=BETA_AUDITOR, code=1)


async def test_more_than_a_page_is_brought_and_counted(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PAGE", 2)
    assert len(await run.json("decisions", "query")) == 3
    assert len(await run.json("decisions", "query", "--limit", "1")) == 1
    (count,) = await run.json("decisions", "query", "--count")
    assert count == {"records": 3, "allowed": 2, "refused": 1}
    out = await run("decisions", "query", "--count")
    assert out == "3 decisions: 2 allowed, 1 refused\n"


@pytest.mark.parametrize("form", ["json", "csv", "ocsf", "parquet"])
async def test_an_export_of_the_gateway_is_that_of_the_files(run: Commands, form: str) -> None:
    write(run.world.folder / "decisions-0.jsonl", decision(5, **RICH))
    there, here = run.world.folder / "there", run.world.folder / "here"
    await run("decisions", "export", "--format", form, "-o", str(there))
    assert len([line for line in run.world.log if line["path"].endswith("ExportDecisions")]) == 1
    assert not (run.world.folder / "admin.jsonl").exists()  # the gateway said it
    files = ["decisions", "export", "--dir", str(run.world.folder), "--format", form]
    assert await asyncio.to_thread(main, [*files, "-o", str(here)]) == 0
    assert READERS[form](there) == READERS[form](here)


def _ids_of_array(path: Path) -> Any:
    return [one["decision_id"] for one in json.loads(path.read_bytes())]


def _rows(path: Path) -> Any:
    return list(csv.reader(path.read_text().splitlines()))


def _events(path: Path) -> Any:
    return [json.loads(line)["metadata"]["uid"] for line in path.read_text().splitlines()]


def _table(path: Path) -> Any:
    return _asked(f"SELECT * FROM read_parquet('{path}')")


def _asked(sql: str) -> Any:
    return duckdb.execute(sql).fetchall()


READERS: dict[str, Callable[[Path], Any]] = {
    "json": _ids_of_array, "csv": _rows, "ocsf": _events, "parquet": _table,
}  # fmt: skip


async def test_an_export_that_breaks_off_leaves_no_file(run: Commands) -> None:
    run.world.records.close()
    target = run.world.folder / "part"
    await run("decisions", "export", "-o", str(target), code=1)
    assert "stopping" in run.err
    assert not target.exists()


async def test_a_tail_shows_the_last_and_then_what_comes(run: Commands) -> None:
    """Another process, because a tail ends with Ctrl-C."""
    file = run.world.folder / "key"
    file.write_text(BETA_AUDITOR)
    words = ["decisions", "tail", "--json", "--admin-key-file", str(file),
             "--config", str(run.world.folder / "gateway.yaml")]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway_extproc.cli.main", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        first = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        opened = decision(7, tenant="beta", outcome="OPENED", status=0)
        write(run.world.folder / "decisions-0.jsonl", decision(6), opened)
        write(run.world.folder / "decisions-0.jsonl", decision(7, tenant="beta"))
        second = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    finally:
        process.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(process.wait(), 60)
    assert (first["decision_id"], second["decision_id"]) == ("d2", "d7")
    assert second["outcome"] == "ALLOWED"
    assert code == 130


@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize("by", ["tenant", "user,label:team", "model,outcome"])
async def test_costs_of_the_gateway_are_those_of_the_files(
    run: Commands, form: str, by: str
) -> None:
    more = {"user": "ann", "labels": {"team": "a"}, "model": "small", "cache_hit": True}
    write(run.world.folder / "costs-1.jsonl", cost(5, **more, saved_nanos=9))
    words = ["costs", "report", "--by", by, "--format", form]
    there = await run(*words)
    assert await asyncio.to_thread(main, [*words, "--dir", str(run.world.folder)]) == 0
    assert there == run.capsys.readouterr().out


async def test_costs_are_scoped_and_written_as_parquet(run: Commands) -> None:
    (row,) = [json.loads(await run("costs", "report", "--format", "json", key=BETA_AUDITOR))]
    assert (row["tenant"], row["cost_nanos"]) == ("beta", 200)
    await run("costs", "report", key=key_of("security-operator"), code=1)
    there, here = run.world.folder / "there", run.world.folder / "here"
    await run("costs", "report", "--format", "parquet", "-o", str(there))
    words = ["costs", "report", "--dir", str(run.world.folder), "--format", "parquet"]
    assert await asyncio.to_thread(main, [*words, "-o", str(here)]) == 0
    types = "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet('{}'))"
    assert _table(there) == _table(here)
    described = [_asked(types.format(path)) for path in (there, here)]
    assert described[0] == described[1]


async def test_a_key_is_made_and_ended_by_who_may(run: Commands) -> None:
    admin = key_of("platform-admin")
    terms = ("--tenant", "acme", "--user", "new", "--label", "team=a", "--ttl", "10m")
    (issued,) = await run.json("keys", "issue", *terms, key=admin)
    id_ = issued["id"]
    assert issued["key"].split("_")[2] == id_
    assert issued["record"]["labels"] == {"team": "a"}
    (shown,) = await run.json("keys", "show", id_)
    assert (shown["state"], shown["user"]) == ("active", "new")
    (rotated,) = await run.json("keys", "rotate", id_, "--overlap", "0s", key=admin)
    assert rotated["record"]["replaces"] == id_
    (one,) = await run.json("keys", "suspend", rotated["id"], "--for", "5m", key=admin)
    assert one["state"] == "suspended"
    assert one["suspended_until"]
    (one,) = await run.json("keys", "resume", rotated["id"], key=admin)
    assert one["state"] == "active"
    (one,) = await run.json("keys", "revoke", rotated["id"], "--reason", "leaked", key=admin)
    assert (one["state"], one["reason"]) == ("revoked", "leaked")
    listed = await run("keys", "list", "--state", "revoked")
    assert rotated["id"] in listed
    (keys,) = await run.json("keys", "list", key=BETA_AUDITOR)
    assert keys == {"keys": []}
    await run("keys", "revoke", rotated["id"], key=AUDITOR, code=1)
    assert "revoke_keys" in run.err
    await run("keys", "issue", "--tenant", "acme", "--user", "x", "--role", "none", key=admin,
              code=1)  # fmt: skip
    assert "role" in run.err


async def test_a_request_is_explained_by_the_gateway(run: Commands) -> None:
    request = run.world.folder / "request.json"
    request.write_bytes(bodies.chat("a forbidden zebra"))
    who = ("--tenant", "acme", "--user", "ann")
    text = await run("explain", str(request), *who)
    assert "would be refused with 400 prompt_blocked" in text
    (told,) = await run.json("explain", str(request), *who)
    assert told["refusal"]["reason"] == "prompt_blocked"
    assert all(isinstance(entry["microseconds"], int) for entry in told["trail"])
    await run("explain", str(request), *who, key=BETA_AUDITOR, code=1)
    assert "every_tenant" in run.err


async def test_status_and_reload_are_asked_of_the_gateway(run: Commands) -> None:
    (found,) = await run.json("status")
    assert found["ready"] is True
    await run("reload", key=key_of("platform-admin"), code=1)
    assert "models: got nothing" in run.err
    await run("reload", code=1)
    assert "permission_required" in run.err
    assert await asyncio.to_thread(main, ["status"]) == 2


# ----------------------------------------------------------------------- which way


async def test_a_gateway_that_does_not_answer_is_an_error_and_no_file_is_read(
    run: Commands,
) -> None:
    nobody = f"unix:{run.world.folder / 'nobody.sock'}"
    out = await run("decisions", "query", code=1, at=nobody)
    assert "no answer from a gateway" in run.err
    assert out == ""


async def test_a_port_of_this_machine_may_lead_to_the_socket(run: Commands) -> None:
    """As ``ssh -L`` makes one."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_unix_connection(str(run.world.socket))

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, family=socket.AF_INET)
    port = server.sockets[0].getsockname()[1]
    out = await run("decisions", "query", "--count", at=f"127.0.0.1:{port}")
    assert out.startswith("3 decisions")
    server.close()


@pytest.mark.parametrize("address", ["10.1.2.3:99", "gateway.example:99", "here", "unix", ":x"])
def test_a_key_does_not_leave_the_machine(address: str) -> None:
    with pytest.raises(CommandFailure) as caught:
        target_of(address)
    assert caught.value.code == 2


def test_places_of_this_machine_are_taken() -> None:
    assert target_of("unix:/a/b.sock") == "unix:/a/b.sock"
    assert target_of("[::1]:7") == "[::1]:7"
    assert target_of("localhost:7") == "localhost:7"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dir", "x", "--admin", "unix:y"], "one of them"),
        (["--dir", "x", "--admin-key-file", "y"], "one of them"),
        (["--admin", "unix:y"], "needs a credential"),
        (["--admin-key-file", "missing", "--admin", "unix:y"], "missing"),
    ],
)
def test_options_that_disagree_are_told(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decisions", "query", *words]) == 2
    assert says in capsys.readouterr().err


async def test_the_environment_names_key_and_gateway_and_a_folder_wins(
    run: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "own.key"
    key.write_text(AUDITOR)
    monkeypatch.setenv("GATEWAY_ADMIN_KEY_FILE", str(key))
    monkeypatch.setenv("GATEWAY_ADMIN", f"unix:{run.world.socket}")
    assert await asyncio.to_thread(main, ["decisions", "query", "--count"]) == 0
    assert "asked the gateway" in run.capsys.readouterr().err
    there = ["decisions", "query", "--count", "--dir", str(tmp_path)]
    assert await asyncio.to_thread(main, there) == 0
    assert "without the gateway" in run.capsys.readouterr().err


async def test_without_a_credential_files_are_read(run: Commands) -> None:
    config = run.world.folder / "gateway.yaml"
    words = ["decisions", "query", "--count", "--config", str(config)]
    assert await asyncio.to_thread(main, words) == 0
    assert run.capsys.readouterr().out.startswith("3 decisions")
    assert run.world.log == []


@pytest.mark.parametrize("text", ["", "\n", "ключ", "a\nb"])
async def test_a_file_that_holds_no_key_is_told(run: Commands, text: str) -> None:
    await run("decisions", "query", key=text, code=2)
    assert "holds no key" in run.err
