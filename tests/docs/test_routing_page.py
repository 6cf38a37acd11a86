"""docs/routing.md: its example is a configuration, its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from gateway_extproc.app import read_config
from gateway_extproc.config.compile import compile_config
from gateway_extproc.config.condition import ROUTE_VARIABLES
from gateway_extproc.core.planning import CAUSES, STRATEGIES
from gateway_extproc.routing.filters import REFUSALS
from support.config import document

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()


def example() -> dict[str, Any]:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    sections: dict[str, Any] = yaml.safe_load(text)
    providers = [
        {"id": name, "dialect": "openai", "base_url": "http://127.0.0.1:9001/v1",
         "credential_file": f"run/{name}", "region": region}
        for name, region in (("north", "us-east"), ("south", "us-west"),
                             ("north-eu", "eu-north"), ("south-eu", "eu-south"))
    ]  # fmt: skip
    tenants = [{"id": "acme"}, {"id": "legal"}]
    base = {"providers": providers, "tenants": tenants, "keys": [], "prices": {}}
    return document(**base, **sections)


def test_the_example_is_a_configuration() -> None:
    snapshot = compile_config(read_config(yaml.safe_dump(example())))
    assert list(snapshot.routes) == ["standard", "auto", "gpt-4o"]
    assert [rule.id for rule in snapshot.rules] == [
        "legal-in-europe", "canary", "long-prompts", "try-the-cheap-one",
    ]  # fmt: skip
    heron = next(target for target in snapshot.targets if target.model == "heron-l")
    assert heron.price is not None
    assert heron.price.version == "team-2026-12"


def test_every_strategy_cause_and_variable_is_told() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    told = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert told == {*STRATEGIES, *CAUSES, *ROUTE_VARIABLES}
    for cause in CAUSES:
        begins, ends = f"| `{cause}` |", f"| `{REFUSALS[cause][0]}` |"
        assert any(row.startswith(begins) and row.endswith(ends) for row in rows), cause
