"""One gateway for all tests of this folder; tests that break it start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.cli.keys import issue_key
from gateway_extproc.core.secret import Secret
from support.gateway import FORGIVING, ROOMY, RunningGateway, running_gateway

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.envoy)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    def change(document: dict[str, Any]) -> None:
        document["health"] = FORGIVING
        document["catalogue"] = ROOMY

    with running_gateway(tmp_path_factory.mktemp("gateway"), change) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway) -> Iterator[RunningGateway]:
    """The shared gateway with healthy providers that have seen nothing yet."""
    yield from _fresh(shared)


@pytest.fixture(scope="session")
def shared_media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway for what is no chat: sound, files, batches, paths that are passed through."""

    more: dict[str, str] = {}

    def change(document: dict[str, Any]) -> None:
        document["tenants"] += [{"id": "other"}, {"id": "poor"}]
        document["budgets"] = [{"id": "little", "per": ["tenant"], "tenants": ["poor"],
                                "nanos": 1_000_000, "period": "day"}]  # fmt: skip
        pepper = Secret(Path(document["identity"]["pepper_file"]).read_text())
        for tenant in ("other", "poor"):
            more[tenant], entry = issue_key(
                pepper, "test", tenant=tenant, user=tenant, application="tests",
                roles=["developer"],
            )  # fmt: skip
            document["keys"].append(entry)
        document["health"] = FORGIVING
        document["catalogue"] = ROOMY
        document["failover"]["attempt_timeout_s"] = 30.0
        document["providers"].append({**document["providers"][0], "id": "spare"})
        document["passthrough"] = [
            {"id": "tuning", "provider": "openai", "methods": ["GET", "POST", "DELETE"],
             "paths": ["/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/*"]},
        ]  # fmt: skip
        document["roles"][0]["endpoints"] += ["passthrough:tuning", "files", "batches"]
        for model in ("whisper-1", "gpt-4o-transcribe", "tts-1", "gpt-4o-mini-tts"):
            targets = [{"provider": name, "model": f"{model}-at-home"}
                       for name in ("openai", "spare")]  # fmt: skip
            document["models"].append({"model": model, "targets": targets})
        document["prices"]["models"] += [
            {"model": "whisper-1-at-home", "prompt_nanos": 0, "completion_nanos": 0,
             "second_nanos": 100_000},
            {"model": "tts-1-at-home", "prompt_nanos": 0, "completion_nanos": 0,
             "character_nanos": 15_000},
            {"model": "gpt-4o-transcribe-at-home", "prompt_nanos": 2_500,
             "completion_nanos": 10_000},
            {"model": "gpt-4o-mini-tts-at-home", "prompt_nanos": 600,
             "completion_nanos": 12_000},
        ]  # fmt: skip

    with running_gateway(tmp_path_factory.mktemp("media"), change) as gateway:
        gateway.keys.update(more)
        yield gateway


@pytest.fixture
def media(shared_media: RunningGateway) -> Iterator[RunningGateway]:
    """That gateway, with a provider that has seen nothing yet."""
    yield from _fresh(shared_media)


def _fresh(gateway: RunningGateway) -> Iterator[RunningGateway]:
    for simulator in (gateway.openai, gateway.anthropic):
        simulator.faults.clear()
        simulator.clear()
    yield gateway
    for simulator in (gateway.openai, gateway.anthropic):
        simulator.faults.clear()
        assert not simulator.violations, simulator.violations
