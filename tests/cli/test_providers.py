"""``providers``: how targets stand, and taking them out, without a running gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_extproc.cli.main import main
from gateway_extproc.config.compile import compile_config
from gateway_extproc.config.load import load
from gateway_extproc.core.route import Target
from gateway_extproc.standings import Watcher
from support.config import document as make_document


@pytest.fixture
def config(tmp_path: Path) -> Path:
    document = make_document()
    document["server"] = {"socket_dir": str(tmp_path / "run")}
    document["evidence"] = {"dir": str(tmp_path / "evidence")}
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def run(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["providers", *arguments, "--config", str(config), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def target_of(config: Path) -> tuple[Watcher, Target]:
    """A worker's view, and the first target that it could ask."""
    snapshot = compile_config(load(config.read_text()))
    first = next(iter(snapshot.routes.values())).targets[0]
    return Watcher(snapshot), first


def test_all_targets_are_listed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run(config, capsys, "list")
    assert rows
    assert all(row["circuit"] == "closed" and row["share"] == 1.0 for row in rows)
    assert main(["providers", "list", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert all(row["target"] in shown for row in rows)


def test_a_drain_holds_for_workers_and_is_ended(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher, target = target_of(config)
    assert watcher.table.of(target).share == 1.0
    rows = run(config, capsys, "drain", target.provider, "--for", "30m")
    assert all(row["drained"] and 1700 < row["drained_s"] <= 1800 for row in rows)
    watcher.drains.refresh()
    assert (watcher.table.of(target).share, watcher.table.of(target).why) == (0.0, "drained")

    # A single target of a provider that is drained: the end of the provider's drain ends it, too.
    run(config, capsys, "drain", target.name)
    rows = run(config, capsys, "undrain", target.provider)
    assert not any(row["drained"] for row in rows)
    watcher.drains.refresh()
    assert watcher.table.of(target).share == 1.0
    watcher.close()

    log = (config.parent / "evidence" / "admin.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"].split()[1] for line in log] == ["drain", "drain", "undrain"]
    assert {json.loads(line)["permission"] for line in log} == {"change_routes"}


def test_a_drain_outlives_the_processes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, target = target_of(config)
    run(config, capsys, "drain", target.name)
    watcher, _ = target_of(config)
    assert watcher.table.of(target).why == "drained"
    watcher.close()


def test_an_unknown_name_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "drain", "nobody", "--config", str(config)]) == 1
    assert "nobody" in capsys.readouterr().err
