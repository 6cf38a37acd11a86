"""Several credentials of one provider: each request takes one, and one that is limited rests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_simulators import ThreadedSimulator
from support.gateway import RunningGateway, running_gateway, wait_for

SECOND = {name: f"sk-second-of-{name}-0123456789abcdef" for name in ("openai", "anthropic")}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("pools")

    def change(document: dict[str, Any]) -> None:
        for provider in document["providers"]:
            second = Path(provider["credential_file"] + "-second")
            second.write_text(SECOND[provider["id"]])
            provider["credential_files"] = [str(second)]

    with running_gateway(folder, change) as running:
        for simulator in (running.openai, running.anthropic):
            simulator.accept_any_key()
        yield running


def credentials(simulator: ThreadedSimulator) -> list[str]:
    """What the requests that came brought as their credential."""
    return [
        (request.header("x-api-key") or request.header("authorization") or "").removeprefix(
            "Bearer "
        )
        for request in simulator.requests
    ]


def test_a_limited_credential_rests_while_the_others_serve(gateway: RunningGateway) -> None:
    for i in range(8):
        assert gateway.chat(f"Turn {i}").status_code == 200
    used = credentials(gateway.openai)
    assert set(used) == {gateway.provider_secrets["openai"], SECOND["openai"]}

    gateway.openai.faults.set(status=429, retry_after="60", times=1)
    assert gateway.chat("One of them is limited.").status_code == 200
    limited = credentials(gateway.openai)[-1]
    # A later attempt's credential is one of its provider's pool, too.
    fallbacks = credentials(gateway.anthropic)
    assert len(fallbacks) == 1
    assert fallbacks[0] in (gateway.provider_secrets["anthropic"], SECOND["anthropic"])

    before = len(gateway.openai.requests)
    for i in range(8):
        assert gateway.chat(f"Go on {i}").status_code == 200
    after = credentials(gateway.openai)[before:]
    assert len(after) == 8, "the provider is not limited, only one of its credentials"
    assert limited not in after


def test_a_provider_whose_credentials_are_all_limited_is_left_alone(
    gateway: RunningGateway,
) -> None:
    gateway.openai.faults.set(status=429, retry_after="60")
    for i in range(4):
        assert gateway.chat(f"All are limited {i}").status_code == 200
    reached = len(gateway.openai.requests)
    for i in range(6):
        assert gateway.chat(f"Elsewhere {i}").status_code == 200
    assert len(gateway.openai.requests) == reached
    targets = gateway.admin("GET", "/v1/targets").json()["targets"]
    whys = {one["target"]: one.get("why", "") for one in targets}
    assert whys["openai/gpt-4o-mini"] == "asked to wait"


def test_no_credential_stands_in_a_record_or_a_log(gateway: RunningGateway) -> None:
    gateway.chat("The last one.")
    time.sleep(0.3)
    wait_for(gateway.records, 5, "no records")
    files = [p for p in gateway.run_dir.rglob("*") if p.is_file() and "secrets" not in p.parts]
    files += [p for p in (gateway.run_dir / "sockets").resolve().rglob("*") if p.is_file()]
    assert any("decisions" in p.name for p in files)
    status = gateway.admin("GET", "/status").content
    for secret in (*SECOND.values(), *gateway.provider_secrets.values()):
        assert secret.encode() not in status
        for file in files:
            assert secret.encode() not in file.read_bytes(), file
