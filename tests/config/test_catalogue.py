"""What is known of models: shipped table, file and configuration over each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.app import read_config
from gateway_extproc.catalogues import with_catalogue
from gateway_extproc.config.catalogue import (
    Catalogue,
    CatalogueUnreadable,
    Layers,
    parse_catalogue,
    shipped,
)
from gateway_extproc.config.compile import Snapshot, compile_config
from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.core.money import Price, Rates, cost
from gateway_extproc.core.route import CAPABILITIES, Target
from gateway_extproc.core.usage import Usage
from support.config import make_config, make_snapshot, text

VENDORS = {"openai", "anthropic", "gemini", "bedrock", "mistral", "groq", "deepseek", "cohere"}
PRICE = {"prompt_nanos": 7, "completion_nanos": 70}


def test_the_shipped_table_has_the_vendors_that_teams_use() -> None:
    table = shipped()
    assert {entry.vendor for entry in table.models} == VENDORS
    assert len({entry.model for entry in table.models}) == len(table.models)


def test_every_shipped_model_has_a_price_a_window_and_capabilities() -> None:
    for entry in shipped().models:
        assert entry.price is not None, entry.model
        assert 0 < entry.price.prompt_nanos <= entry.price.completion_nanos, entry.model
        assert entry.price.cached_nanos is None or entry.price.cached_nanos < (
            entry.price.prompt_nanos
        ), entry.model
        assert entry.context_tokens is not None
        assert entry.context_tokens >= 100_000, entry.model
        assert set(entry.capabilities or ()) <= set(CAPABILITIES), entry.model
        if entry.price.long is not None:
            assert entry.price.long.prompt_nanos > entry.price.prompt_nanos, entry.model
            assert entry.price.long.above_tokens < entry.context_tokens, entry.model
        if entry.price.batch is not None:
            assert entry.price.batch.prompt_nanos < entry.price.prompt_nanos, entry.model


def target(snapshot: Snapshot, name: str = "east-small") -> Target:
    return next(t for t in snapshot.targets if t.model == name)


def entries(**fields: Any) -> dict[str, Any]:
    return {"catalogue": {"version": "own-2", "models": [{"model": "east-small", **fields}]}}


def test_an_entry_of_the_configuration_says_what_a_target_can_do() -> None:
    known = target(make_snapshot(**entries(
        context_tokens=9000, max_output_tokens=500, capabilities=["tools"], quality=0.7,
        price=PRICE,
    ), prices={}))  # fmt: skip
    facts = known.facts
    assert (facts.context_tokens, facts.max_output_tokens, facts.quality) == (9000, 500, 0.7)
    assert facts.capabilities == frozenset({"tools"})
    assert known.price == Price(7, 70, version="own-2")


def test_prices_of_the_configuration_stand_above_the_catalogue() -> None:
    assert target(make_snapshot(**entries(price=PRICE))).price == Price(100, 400, version="p1")


def test_nothing_is_known_of_a_model_without_an_entry() -> None:
    known = target(make_snapshot(), "west-large")
    assert known.price is None
    assert known.facts.capabilities is None


def test_an_entry_may_hold_at_one_provider_only() -> None:
    models = [{"model": "m", "quality": 0.2}, {"model": "m", "provider": "west", "quality": 0.8}]
    layers = Layers(Catalogue.model_validate({"models": models}, strict=False))
    assert layers.of("east", "m").facts.quality == 0.2
    assert layers.of("west", "m").facts.quality == 0.8


@pytest.fixture
def file(tmp_path: Path) -> Path:
    name = shipped().models[0].model
    models = [{"model": name, "quality": 0.11, "price": {**PRICE, "batch": PRICE}},
              {"model": "east-small", "quality": 0.22}]  # fmt: skip
    place = tmp_path / "catalogue.json"
    place.write_text(json.dumps({"version": "team-7", "models": models}))
    return place


def test_a_file_stands_above_the_shipped_table_and_below_the_configuration(file: Path) -> None:
    first = shipped().models[0]
    sections = entries(quality=0.33)
    sections["catalogue"]["file"] = str(file)
    layers = Layers(with_catalogue(make_config(**sections)).catalogue)
    known = layers.of("east", first.model)
    assert known.facts.quality == 0.11
    assert known.facts.context_tokens == first.context_tokens, "what the file does not say stays"
    # A price replaces a price: the shipped long rates would not belong to it.
    assert known.price == Price(7, 70, version="team-7", batch=Rates(7, 70))
    assert layers.of("east", "east-small").facts.quality == 0.33


def test_another_file_is_another_revision(file: Path) -> None:
    source = text(catalogue={"file": str(file)})
    before = compile_config(read_config(source)).revision
    assert compile_config(read_config(source)).revision == before
    file.write_text(file.read_text().replace("team-7", "team-8"))
    assert compile_config(read_config(source)).revision != before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "Invalid JSON"),
        ('{"models": []}', "version"),
        ('{"version": "1", "models": [{"model": "a", "speed": 1}]}', "models.0.speed"),
        ('{"version": "1", "models": [{"model": "a"}, {"model": "a"}]}', "stands only once"),
    ],
)
def test_a_bad_file_is_a_mistake_that_says_where(file: Path, content: str, expected: str) -> None:
    file.write_text(content)
    with pytest.raises(CatalogueUnreadable, match=expected):
        parse_catalogue(file.read_bytes())
    with pytest.raises(ConfigError, match=expected) as caught:
        read_config(text(catalogue={"file": str(file)}))
    assert [mistake.path for mistake in caught.value.mistakes] == ["catalogue.file"]


def test_classes_of_an_entry_only_ever_take_classes_away() -> None:
    models = [{"model": "west-small", "data_classes": ["health", "legal"]}]
    assert target(make_snapshot(catalogue={"models": models}), "west-small").data_classes == (
        frozenset({"health"})
    )


def test_a_model_that_is_processed_in_many_regions_needs_all_of_them_allowed() -> None:
    sections = {
        "data_classes": [{"id": "health", "regions": ["eu-*", ""]}],
        "catalogue": {"models": [{"model": "west-small", "regions": ["eu-north", "us-east"]}]},
    }
    sections["data_classes"] = [{"id": "health", "regions": ["*"]}]
    assert "health" in target(make_snapshot(**sections), "west-small").data_classes
    sections["data_classes"] = [{"id": "health", "regions": ["eu-*"]}]
    snapshot = make_snapshot(**sections)
    assert "health" not in target(snapshot, "west-small").data_classes


def test_the_catalogues_long_rates_are_what_a_long_prompt_costs() -> None:
    priced = next(e for e in shipped().models if e.price is not None and e.price.long is not None)
    assert priced.price is not None
    assert priced.price.long is not None
    price = Layers(Catalogue()).of("any", priced.model).price
    assert price is not None
    above = priced.price.long.above_tokens
    for tokens, rates in ((above, priced.price), (above + 1, priced.price.long)):
        expected = tokens * rates.prompt_nanos + 10 * rates.completion_nanos
        assert cost(Usage(tokens, 10), price) == expected
    assert price.version == shipped().version
