"""``decisions``: what a reviewer sees, over files of the real recorder."""

from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from evidence import samples, traffic
from gateway_extproc.cli.main import main
from gateway_extproc.evidence.log import JsonLinesLog
from gateway_extproc.evidence.storage import PlainFile
from support import config

ROOT = Path(__file__).parents[2]
COUNT = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("decisions")
    recorder = traffic.recorder(made)
    for number, exchange in enumerate(traffic.mixed(COUNT)):
        recorder.record(exchange, traffic.ended_ns(number))
    recorder.record(samples.full(), samples.ENDED_NS)
    assert recorder.close()
    log = JsonLinesLog(PlainFile(made / "evidence" / "decisions-1.jsonl"))
    log.write({"decision_id": "lost", "outcome": "OPENED", "time": "2026-09-21T14:00:00.000000Z"})
    assert log.close()
    return made / "evidence"


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> str:
        assert main(["decisions", *arguments, "--dir", str(folder)]) == 0
        return capsys.readouterr().out

    return command


def test_decisions_are_listed_newest_first(run: Any) -> None:
    lines = run("query", "--limit", "3").splitlines()
    assert [line.split()[-1] for line in lines[2:5]] == [
        f"d{n:09d}" for n in range(COUNT - 1, COUNT - 4, -1)
    ]
    assert lines[0].split()[:3] == ["time", "outcome", "why"]
    assert "3 shown" in lines[-1]
    refused = run("query", "--verdict", "refused", "--tenant", "acme", "--limit", "1000")
    assert "prompt_blocked no-zebras" in refused
    assert " beta " not in refused


def test_json_lines_are_the_records_themselves(run: Any, folder: Path) -> None:
    found = [json.loads(line) for line in run("query", "--json", "--limit", "1000").splitlines()]
    raw = traffic.records_in(folder / "decisions-0.jsonl")
    assert sorted((r for r in found if r["decision_id"] != "lost"), key=str) == sorted(raw, key=str)
    [lost] = [r for r in found if r["decision_id"] == "lost"]
    assert lost["outcome"] == "INTERRUPTED"


def test_decisions_are_counted(run: Any) -> None:
    counted = json.loads(run("query", "--count", "--json"))
    assert counted.pop("records") == COUNT + 2 == sum(counted.values())
    assert counted["interrupted"] == 1
    assert run("query", "--count", "--reason", "prompt_blocked") == (
        f"{counted['refused']} decisions: {counted['refused']} refused\n"
    )
    assert run("query", "--count", "--rule", "nobody") == "0 decisions\n"


def test_one_decision_is_told_whole(run: Any) -> None:
    told = run("show", "r-1")
    for part in (
        "ann", "acme", "k1a2b3c4 (api_key)", "chatter/base", "gpt-x", "team=search", "cards",
        "west/gpt-x-1", "east/gpt-x-1", "503", "120 in (20 cached), 80 out", "$0.000456000",
        "volume", "without redis", "31-50", "1234.57 ms",
    ):  # fmt: skip
        assert part in told, part
    assert [secret for secret in samples.PLANTED if secret in told] == []
    assert json.loads(run("show", "d-1", "--json"))["decision_id"] == "d-1"
    assert "only its beginning" in run("show", "lost")


def test_what_a_client_wrote_moves_no_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = traffic.recorder(tmp_path)
    recorder.record(traffic.exchange(1, user="\x1b[2Jann", model="\x07small\n"), 2)
    assert recorder.close()
    for command in (["query"], ["show", "d000000001"]):
        assert main(["decisions", *command, "--dir", str(tmp_path / "evidence")]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "\x07" not in out


def test_exports_are_read_by_others(
    run: Any, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("json", "csv", "ocsf", "parquet"):
        target = tmp_path / f"out.{form}"
        run("export", "--format", form, "--tenant", "beta", "--output", str(target))
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    raw = traffic.records_in(folder / "decisions-0.jsonl")
    mine = [record for record in raw if record["tenant"] == "beta"]
    assert json.loads((tmp_path / "out.json").read_text()) == mine
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["decision_id"] for row in rows] == [record["decision_id"] for record in mine]
    events = [json.loads(line) for line in (tmp_path / "out.ocsf").open()]
    assert [event["metadata"]["uid"] for event in events] == [r["decision_id"] for r in mine]
    with duckdb.connect() as database:
        cost, count = database.execute(
            f"SELECT sum(cost_nanos), count(*) FROM '{tmp_path}/out.parquet' WHERE time IS NOT NULL"
        ).fetchall()[0]
    assert (int(cost), count) == (sum(r.get("cost_nanos", 0) for r in mine), len(mine))
    assert (tmp_path / "out.parquet").read_bytes()[:4] == b"PAR1"
    assert main(["decisions", "export", "--format", "parquet", "--dir", str(folder)]) == 1
    assert "--output" in capsys.readouterr().err


def test_an_export_is_in_the_admin_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = traffic.recorder(tmp_path)
    recorder.record(traffic.exchange(1), 2)
    assert recorder.close()
    file = tmp_path / "gateway.yaml"
    evidence = tmp_path / "evidence"
    file.write_text(yaml.safe_dump(config.document(evidence={"dir": str(evidence)})))
    assert main(["decisions", "export", "--config", str(file), "--format", "csv"]) == 0
    assert "d000000001" in capsys.readouterr().out
    [line] = [json.loads(line) for line in (evidence / "admin.jsonl").open()]
    assert (line["path"], line["permission"]) == ("decisions export csv", "view_decisions")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["query", "--dir", "/nowhere/at/all"], "/nowhere/at/all: no folder of records"),
        (["query", "--config", "/nowhere.yaml"], "/nowhere.yaml: No such file or directory"),
    ],
)
def test_a_failure_is_one_clear_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decisions", *arguments]) in (1, 2)
    assert capsys.readouterr().err == f"gateway-extproc: {told}\n"


def test_an_unknown_decision_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decisions", "show", "nobody", "--dir", str(folder)]) == 1
    assert capsys.readouterr().err == f"gateway-extproc: no decision nobody in {folder}\n"


@pytest.mark.parametrize("text", ["yesterday", "-3h", "2026-13-01"])
def test_a_time_that_is_none_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["decisions", "query", f"--since={text}"])
    assert "neither a duration such as 2h" in capsys.readouterr().err


def test_help_loads_no_database() -> None:
    code = (
        "import sys; from gateway_extproc.cli.main import build_parser; build_parser();"
        "print(sorted({'duckdb', 'numpy', 'pydantic', 'orjson'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_a_reader_that_has_enough_ends_the_command_quietly(folder: Path) -> None:
    ask = f"{sys.executable} -m gateway_extproc.cli.main decisions query --json -n 300"
    done = subprocess.run(
        f"{ask} --dir {folder} | head -c 10", shell=True, capture_output=True, text=True,
        cwd=ROOT, check=False,
    )  # fmt: skip
    assert (done.stdout[:2], done.stderr) == ('{"', "")


def test_tail_follows_all_workers_over_rotation(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    recorder = traffic.recorder(tmp_path)
    recorder.record(traffic.exchange(1), 2)
    assert recorder.close()
    command = [
        sys.executable, "-m", "gateway_extproc.cli.main", "decisions", "tail", "--json",
        "--tenant", "acme", "--dir", str(evidence),
    ]  # fmt: skip
    # What runs in the background ignores Ctrl-C, and so would its children.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        signal.signal(signal.SIGINT, heard)
        assert process.stdout is not None
        try:
            first = json.loads(process.stdout.readline())
            os.rename(evidence / "decisions-0.jsonl", evidence / "decisions-0.000001.jsonl")
            for worker, number in ((0, 2), (1, 3)):
                recorder = traffic.recorder(tmp_path, worker)
                recorder.record(traffic.exchange(number + 10, tenant="beta"), 2)
                recorder.record(traffic.exchange(number), 2)
                assert recorder.close()
                time.sleep(0.5)
            later = [json.loads(process.stdout.readline()) for _ in range(2)]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    ids = [record["decision_id"] for record in (first, *later)]
    assert ids == ["d000000001", "d000000002", "d000000003"]
