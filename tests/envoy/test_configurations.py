"""The Envoy configurations of the project run as they stand, and ``serve`` beside them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway_extproc.cli.keys import issue_key
from gateway_extproc.cli.main import main
from gateway_extproc.cli.processes import envoy_binary, find_free_port
from gateway_extproc.config.load import load
from gateway_extproc.core.secret import Secret
from gateway_extproc.envoyconf.lint import identity_mistakes
from gateway_extproc.envoyconf.render import render
from gateway_extproc.envoyconf.types import check_types
from gateway_simulators import ThreadedSimulator
from support.gateway import wait_for
from support.workloads import Authority, make_server_files

ROOT = Path(__file__).parents[2]
PAIRS = {
    ROOT / "envoy" / "standalone.yaml": ROOT / "envoy" / "standalone.gateway.yaml",
    ROOT / "envoy" / "failover.yaml": ROOT / "envoy" / "failover.gateway.yaml",
    ROOT / "envoy" / "mtls.yaml": ROOT / "envoy" / "mtls.gateway.yaml",
    ROOT / "k8s" / "base" / "envoy.yaml": ROOT / "k8s" / "base" / "gateway.yaml",
}
ENVOY_FILES = pytest.mark.parametrize("file", PAIRS, ids=lambda file: file.name)


@ENVOY_FILES
def test_the_real_envoy_accepts_it(file: Path, tmp_path: Path) -> None:
    """In a folder with the certificates that a configuration with TLS names."""
    folder = tmp_path / "run" / "tls"
    folder.mkdir(parents=True)
    make_server_files(folder, Authority.make())
    result = subprocess.run(
        [str(envoy_binary()), "--mode", "validate", "-c", str(file)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]


@ENVOY_FILES
def test_it_is_what_its_gateway_configuration_renders(file: Path) -> None:
    """Write them anew: make configs"""
    config = load(PAIRS[file].read_text())
    assert file.read_text() == render(config, config.server.workers)


@ENVOY_FILES
def test_it_lets_no_client_name_itself(file: Path) -> None:
    config = load(PAIRS[file].read_text())
    assert identity_mistakes(yaml.safe_load(file.read_text()), config) == []


@ENVOY_FILES
def test_every_field_has_its_type(file: Path) -> None:
    report = check_types(yaml.safe_load(file.read_text()))
    assert report.mistakes == ()
    assert {name.rpartition(".")[2] for name in report.unchecked} == {
        "PriorityGroupClusterSpecifier"
    }


def test_a_mistyped_field_is_found_at_its_place() -> None:
    document = yaml.safe_load((ROOT / "envoy" / "failover.yaml").read_text())
    listener = document["static_resources"]["listeners"][0]
    listener["filter_chains"][0]["filters"][0]["typed_config"]["stat_prefixx"] = "x"
    [mistake] = check_types(document).mistakes
    assert "listeners[0].filter_chains[0].filters[0].typed_config" in mistake
    assert "stat_prefixx" in mistake


def test_envoy_check_judges_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envoy", "check", str(ROOT / "envoy" / "standalone.yaml")]) == 0
    bad = tmp_path / "bad.yaml"
    bad.write_text("static_resources: {listeners: [{nonsense: 1}]}")
    assert main(["envoy", "check", str(bad)]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_serve_and_a_separate_envoy_work_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failover configuration as it stands, but for ports, addresses and a key."""
    monkeypatch.chdir(tmp_path)
    with (
        ThreadedSimulator("openai", key="sk-open") as openai,
        ThreadedSimulator("anthropic", key="sk-ant") as anthropic,
    ):
        document, key = _document(tmp_path, openai.port, anthropic.port)
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml.safe_dump(document))
        (tmp_path / "envoy.yaml").write_text(render(load(file.read_text()), 2))
        commands = (
            [sys.executable, "-m", "gateway_extproc.cli.main", "serve", "--config", str(file)],
            [str(envoy_binary()), "-c", "envoy.yaml", "--disable-hot-restart", "-l", "error"],
        )
        processes = [subprocess.Popen(command, cwd=tmp_path) for command in commands]
        try:
            url = f"http://127.0.0.1:{document['server']['listen']['port']}"
            openai.faults.set(status=503)
            answer = wait_for(lambda: _ask(url, key), 20, "nobody answered")
            assert answer.json()["choices"][0]["message"]["content"] == "You said: hello"
            assert anthropic.requests
            ready = f"http://127.0.0.1:{document['server']['admin']['port']}/readyz"
            # One worker may serve while the other still starts; ready are they all.
            wait_for(lambda: httpx.get(ready).status_code == 200, 10, "not all workers are ready")
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            codes = [process.wait(timeout=30) for process in processes]
    assert codes == [0, 0]
    lines = [
        json.loads(line)
        for log in (tmp_path / "run" / "evidence").glob("decisions-*.jsonl")
        for line in log.read_text().splitlines()
    ]
    assert any(len(line.get("attempts", [])) == 2 for line in lines)


def _ask(url: str, key: str) -> httpx.Response | None:
    try:
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            headers={"authorization": f"Bearer {key}"},
            json={"model": "fast", "messages": [{"role": "user", "content": "hello"}]},
        )
    except httpx.TransportError:
        return None
    return answer if answer.status_code == 200 else None


def _document(folder: Path, openai_port: int, anthropic_port: int) -> tuple[dict[str, Any], str]:
    document: dict[str, Any] = yaml.safe_load(
        (ROOT / "envoy" / "failover.gateway.yaml").read_text()
    )
    secrets = folder / "run" / "secrets"
    secrets.mkdir(parents=True)
    for name, text in (("pepper", "p" * 64), ("openai", "sk-open"), ("anthropic", "sk-ant")):
        (secrets / name).write_text(text)
    key, entry = issue_key(
        Secret("p" * 64), "test", tenant="acme", user="ann", application="x", roles=["developer"]
    )
    document["keys"] = [entry]
    for section in ("listen", "admin", "envoy_admin"):
        document["server"][section] = {"port": find_free_port()}
    for provider, port in zip(document["providers"], (openai_port, anthropic_port), strict=True):
        provider["base_url"] = f"http://127.0.0.1:{port}/v1"
    return document, key
