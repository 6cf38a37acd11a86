"""Configurations: good ones load, each mistake is told with its path, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from gateway_extproc.app import read_config
from gateway_extproc.config.load import load
from gateway_extproc.config.mistakes import ConfigError
from support.config import document, make_config, text

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


def mistakes_of(source: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        read_config(source)
    return [(mistake.path, mistake.expected) for mistake in caught.value.mistakes]


def test_the_example_loads() -> None:
    config = read_config(text())
    assert [tenant.id for tenant in config.tenants] == ["acme", "beta", "clinic"]
    assert config.models[0].targets[1].provider == "west"


def test_a_loaded_configuration_cannot_be_changed() -> None:
    config = make_config()
    with pytest.raises(ValidationError):
        config.tenants[0].id = "other"


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_one_mistake_is_told_at_its_place_and_nothing_else(file: Path) -> None:
    source = file.read_text()
    first, second, *_ = source.splitlines()
    paths = first.removeprefix("# path: ").split(", ")
    phrase = second.removeprefix("# expected: ")
    found = mistakes_of(source)
    assert sorted(path for path, _ in found) == paths
    assert all(phrase in expected for _, expected in found)


def test_there_is_a_file_for_every_kind_of_mistake() -> None:
    assert len(BAD) >= 50


def test_several_wrong_fields_are_told_at_once() -> None:
    sections = document(extra=1, limits=[{"id": "a", "per": ["user"], "requests": 0}])
    sections["caps"] = {"depth": 1000}
    sections["server"]["drain_s"] = -1
    assert sorted(path for path, _ in mistakes_of(yaml.safe_dump(sections))) == [
        "caps.depth",
        "extra",
        "limits[0].requests",
        "server.drain_s",
    ]


def test_several_dangling_names_are_told_at_once() -> None:
    sections = document()
    sections["keys"][0]["tenant"] = "nobody"
    sections["keys"][1]["roles"] = ["nothing", "developer", "nought"]
    sections["models"][2]["targets"][0]["provider"] = "north"
    assert sorted(path for path, _ in mistakes_of(yaml.safe_dump(sections))) == [
        "keys[0].tenant",
        "keys[1].roles",
        "keys[1].roles",
        "models[2].targets",
    ]


def test_dangling_names_and_bad_patterns_are_told_at_once() -> None:
    sections = document()
    sections["keys"][0]["tenant"] = "nobody"
    sections["guards"][0]["patterns"] = ["(open"]
    assert sorted(path for path, _ in mistakes_of(yaml.safe_dump(sections))) == [
        "guards[0].patterns[0]",
        "keys[0].tenant",
    ]


def test_every_bad_pattern_of_a_rule_is_told() -> None:
    sections = document()
    sections["guards"][0]["patterns"] = ["(open", "fine", "[z-a]"]
    assert len(mistakes_of(yaml.safe_dump(sections))) == 2


def test_a_mistake_shows_what_stands_there_and_only_a_little_of_it() -> None:
    with pytest.raises(ConfigError) as caught:
        load(text(tenants="x" * 10_000))
    assert len(str(caught.value)) < 300
    assert str(caught.value).startswith("tenants: got 'xxx")


def test_yaml_anchors_and_merges_are_understood() -> None:
    sections = document()
    del sections["tenants"]
    source = f"{yaml.safe_dump(sections)}tenants:\n  - &a {{id: acme}}\n  - *a\n"
    found = [path for path, _ in mistakes_of(source)]
    assert found[:2] == ["tenants[0].id", "tenants[1].id"]
    merged = "tenants:\n  - &a {id: acme}\n  - {<<: *a, id: beta}\n  - {<<: *a, id: clinic}\n"
    config = load(yaml.safe_dump(sections) + merged)
    assert [tenant.id for tenant in config.tenants] == ["acme", "beta", "clinic"]


@pytest.mark.parametrize("written", ["2027-01-31", '"2027-01-31"', "'2027-01-31'"])
def test_a_date_may_be_quoted_or_not(written: str) -> None:
    source = text().replace("'2020-01-01'", written)
    assert written in source
    assert str(load(source).keys[4].expires) == "2027-01-31"
