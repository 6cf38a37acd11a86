"""One gateway for all tests of this folder; tests that break it start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
    for simulator in (shared.openai, shared.anthropic):
        simulator.faults.clear()
        simulator.clear()
    yield shared
    for simulator in (shared.openai, shared.anthropic):
        simulator.faults.clear()
        assert not simulator.violations, simulator.violations
