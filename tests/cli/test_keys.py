"""``keys``: each command on a real store, its JSON, and what it refuses."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

from gateway_extproc.cli.main import main
from gateway_extproc.config.load import load
from gateway_extproc.core.apikey import key_hmac, parse_key
from gateway_extproc.identities import open_key_store
from gateway_extproc.pb.gateway.v1 import decision_pb2
from support.config import ANN, PEPPER, api_key, document


class World:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        (folder / "pepper").write_text(PEPPER)
        self.document = document(
            evidence={"dir": str(folder / "evidence")},
            identity={"pepper_file": str(folder / "pepper"), "state_dir": str(folder / "state")},
        )
        self.file = folder / "gateway.yaml"
        self.file.write_text(yaml.safe_dump(self.document))

    def run(self, *arguments: str, code: int = 0) -> str:
        capture = self.capsys
        capture.readouterr()
        command, *rest = arguments
        assert main(["keys", command, "--config", str(self.file), *rest]) == code
        captured = capture.readouterr()
        return captured.out if code == 0 else captured.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def issue(self, *more: str) -> Any:
        return self.json("issue", "--tenant", "acme", "--user", "ann", *more)

    def stored(self, key_id: str) -> Any:
        store = open_key_store(load(self.file.read_text()))
        try:
            return store.get(key_id).record
        finally:
            store.close()


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path, capsys)


def test_issue_prints_id_and_key_and_stores_the_hmac_only(world: World) -> None:
    issued = world.issue()
    parsed = parse_key(issued["key"])
    assert parsed is not None
    assert parsed.id == issued["id"]
    record = world.stored(issued["id"])
    assert record.hmac == key_hmac(PEPPER.encode(), issued["key"])
    assert record.roles == ("developer",)
    for file in (world.folder / "state").iterdir():
        assert issued["key"].encode() not in file.read_bytes()


def test_issue_takes_everything_that_a_key_can_be_narrowed_to(world: World) -> None:
    issued = world.issue(
        "--application", "web", "--role", "visitor", "--role", "auditor", "--endpoint", "chat",
        "--model", "small", "--model", "pub-*", "--network", "10.0.0.0/8", "--label", "team=x",
        "--ttl", "90d", "--env", "test",
    )  # fmt: skip
    record = world.stored(issued["id"])
    assert issued["key"].startswith("gw_test_")
    assert (record.application, record.roles) == ("web", ("visitor", "auditor"))
    assert (record.endpoints, record.models) == (("chat",), ("small", "pub-*"))
    assert (record.networks, record.labels) == (("10.0.0.0/8",), (("team", "x"),))
    assert record.expires_at_s == pytest.approx(time.time() + 90 * 86400, abs=60)


def test_without_config_the_usual_places_are_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.folder)
    world.capsys.readouterr()
    assert main(["keys", "issue", "--tenant", "acme", "--user", "u", "--json"]) == 0
    assert json.loads(world.capsys.readouterr().out)["id"]
    world.file.unlink()
    assert main(["keys", "list"]) == 1
    assert "no --config" in world.capsys.readouterr().err


def test_the_life_of_a_key(world: World) -> None:
    first = world.issue()["id"]
    assert world.json("show", first)["state"] == "active"
    rotated = world.json("rotate", first, "--overlap", "1h")
    assert rotated["record"]["replaces"] == first
    assert world.json("show", first)["expires_at"]
    suspended = world.json("suspend", rotated["id"], "--for", "15m", "--reason", "odd")
    assert (suspended["state"], suspended["reason"]) == ("suspended", "odd")
    assert world.json("resume", rotated["id"])["state"] == "active"
    assert world.json("revoke", rotated["id"], "--reason", "leak")["state"] == "revoked"
    assert "revoked" in world.run("resume", rotated["id"], code=1)
    listed = world.json("list", "--state", "revoked")["keys"]
    assert [key["id"] for key in listed] == [rotated["id"]]


def test_list_shows_the_configurations_keys_and_no_hmac(world: World) -> None:
    issued = world.issue()
    output = world.run("list", "--json")
    ids = {key["id"] for key in json.loads(output)["keys"]}
    assert {issued["id"], "ann00001", "bob00001"} <= ids
    assert "hmac" not in output
    assert "ann00001" in world.run("list", "--tenant", "acme")
    assert "bob00001" not in world.run("list", "--tenant", "acme")


def test_a_key_of_the_configuration_is_revoked_by_the_store(world: World) -> None:
    assert world.json("revoke", "ann00001", "--reason", "leak")["state"] == "revoked"
    assert world.stored("ann00001").hmac == key_hmac(PEPPER.encode(), ANN)


def test_import_takes_entries_with_hmac_or_key(world: World) -> None:
    key = api_key("import01", seed=3)
    entries = [
        {"key": key, "tenant": "acme", "user": "x", "roles": ["developer"]},
        {
            "id": "import02", "hmac": "ab" * 32, "tenant": "beta", "user": "y",
            "roles": ["visitor"], "expires": "2999-01-31",
        },
    ]  # fmt: skip
    file = world.folder / "import.yaml"
    file.write_text(yaml.safe_dump(entries))
    assert world.json("import", str(file)) == {"imported": ["import01", "import02"]}
    assert world.stored("import01").hmac == key_hmac(PEPPER.encode(), key)
    assert "exists" in world.run("import", str(file), code=1)


def test_import_of_one_bad_entry_imports_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {
        "id": "import03",
        "hmac": "ab" * 32,
        "tenant": "acme",
        "user": "y",
        "roles": ["visitor"],
    }
    bad = [{**good, "tenant": "nobody"}, {**good, "roles": ["none"]}, {"key": "gw_x"}, 7]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps([good, *bad])))
    shown = world.run("import", "-", code=2)
    assert all(f"[{i}]" in shown for i in range(1, 5))
    assert "[0]" not in shown
    assert "no key import03" in world.run("show", "import03", code=1)


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (["--tenant", "nobody"], "tenant"),
        (["--role", "none"], "role"),
        (["--network", "10.0.0.1/8"], "networks"),
        (["--endpoint", "other"], "endpoints"),
        (["--expires", "soon"], "expires"),
    ],
)
def test_bad_terms_make_no_key(world: World, options: list[str], phrase: str) -> None:
    shown = world.run("issue", "--tenant", "acme", "--user", "ann", *options, code=2)
    assert phrase in shown
    assert len(world.json("list")["keys"]) == len(world.document["keys"])


def test_an_unreadable_pepper_or_store_is_one_line(world: World) -> None:
    (world.folder / "state").mkdir()
    (world.folder / "state" / "keys.db").write_bytes(b"no database" * 500)
    shown = world.run("list", code=1)
    assert shown.count("\n") == 1
    assert "key store" in shown
    (world.folder / "state" / "keys.db").unlink()
    (world.folder / "pepper").unlink()
    assert "pepper" in world.run("list", code=1)


def test_tenants_of_the_last_good_file_may_have_keys(world: World) -> None:
    (world.folder / "state").mkdir()
    (world.folder / "state" / "tenants.json").write_text('[["filed", "standard", {}, false]]')
    assert world.json("issue", "--tenant", "filed", "--user", "u")["id"]


def test_what_a_command_changes_is_in_the_admin_log(world: World) -> None:
    key_id = world.issue()["id"]
    world.run("list")
    world.run("show", key_id)
    world.run("suspend", key_id)
    world.run("resume", key_id)
    world.run("revoke", key_id)
    lines = (world.folder / "evidence" / "admin.jsonl").read_text().splitlines()
    records = [json_format.Parse(line, decision_pb2.AdminRecord()) for line in lines]
    assert [(r.path, r.permission) for r in records] == [
        (f"keys issue {key_id}", "manage_keys"),
        (f"keys suspend {key_id}", "revoke_keys"),
        (f"keys resume {key_id}", "manage_keys"),
        (f"keys revoke {key_id}", "revoke_keys"),
    ]
    assert all(record.user and record.method == "CLI" for record in records)
