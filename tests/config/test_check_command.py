"""What a person at a terminal gets for a good file, for a bad one, and for --help."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gateway_extproc.cli.main import build_parser, main
from support.config import document, text


def write(folder: Path, source: str) -> str:
    file = folder / "gateway.yaml"
    file.write_text(source)
    return str(file)


def test_a_good_file_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(tmp_path, text())]) == 0
    captured = capsys.readouterr()
    assert "good (revision " in captured.out
    assert captured.err == ""


def test_a_bad_file_exits_with_2_and_one_line_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = document(surplus=1)
    sections["server"]["drain_s"] = "long"
    file = write(tmp_path, yaml.safe_dump(sections))
    assert main(["check", file]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert sorted(line.split(": ")[1] for line in lines[:-1]) == ["server.drain_s", "surplus"]
    assert all(line.startswith(f"{file}: ") for line in lines[:-1])
    assert lines[-1].endswith("2 mistakes")


@pytest.mark.parametrize("source", ["1: 2\n", "version: 1\n- x\n", "a: &a [*a]\n", "\x00", "{"])
def test_garbage_is_a_mistake_and_no_traceback(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write(tmp_path, source)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all("gateway.yaml: " in line for line in lines)


def test_a_file_that_is_not_there_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "none.yaml")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_file_that_is_no_text_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert main(["check", str(tmp_path / "binary.yaml")]) == 2
    assert "not a UTF-8 text" in capsys.readouterr().err


def test_a_checked_file_can_be_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, text())
    assert main(["envoy", "render", file]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["static_resources"]


def issue(folder: Path, *more: str) -> int:
    (folder / "pepper").write_text("pepper-of-the-tests")
    file = write(folder, text(identity={"pepper_file": str(folder / "pepper")}))
    who = ["--tenant", "acme", "--user", "ann", "--role", "developer"]
    return main(["keys", "issue", "--config", file, *who, *more])


def test_an_issued_key_is_known_once_its_entry_stands_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert issue(tmp_path, "--static") == 0
    printed = capsys.readouterr().out
    key = printed.splitlines()[1].removeprefix("# ")
    entry = yaml.safe_load(printed)[0]
    assert key.split("_")[2] == entry["id"]
    assert key not in yaml.safe_dump(entry)
    assert main(["check", write(tmp_path, text(keys=[entry]))]) == 0


def test_a_key_of_an_impossible_environment_is_not_issued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert issue(tmp_path, "--env", "Prod-1") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Prod-1" in captured.err


def commands(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    yield path
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from commands(child, (*path, name))


@pytest.mark.parametrize("command", list(commands(build_parser())), ids=" ".join)
def test_every_help_names_files_and_exit_codes(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "\nfiles\n" in shown
    assert "\nexit codes\n" in shown


def test_every_command_of_the_examples_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    known = {" ".join(path) for path in commands(build_parser())}
    examples = [line.split()[1:] for line in shown.splitlines() if "  gateway-extproc " in line]
    assert len(examples) >= 4
    for words in examples:
        assert words[0] in known


def with_tenants_file(folder: Path, content: str | None) -> str:
    file = folder / "tenants.json"
    if content is not None:
        file.write_text(content)
    identity = {"pepper_file": "run/pepper", "tenants_file": str(file)}
    return write(folder, text(identity=identity))


def test_the_tenants_file_is_checked_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = '{"version": 1, "tenants": [{"id": "one"}, {"id": "two"}]}'
    assert main(["check", with_tenants_file(tmp_path, good)]) == 0
    assert "5 tenants" in capsys.readouterr().out
    bad = '{"version": 1, "tenants": [{"id": "One"}, {"id": "acme"}]}'
    assert main(["check", with_tenants_file(tmp_path, bad)]) == 2
    assert "tenants.json: tenants[0].id" in capsys.readouterr().err
    (tmp_path / "tenants.json").unlink()
    assert main(["check", with_tenants_file(tmp_path, None)]) == 2
    assert "No such file" in capsys.readouterr().err
