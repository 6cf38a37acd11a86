"""From a configuration to what stages look up."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.compile import compile_config, fallback_cluster
from gateway_extproc.config.load import load
from gateway_extproc.core.access import name_matcher
from support.config import document, make_snapshot, text


def test_a_role_is_a_grant_of_its_endpoints_and_models() -> None:
    (grant,) = make_snapshot().roles["visitor"]
    assert (grant.role, grant.rule, grant.endpoints) == (
        "visitor",
        "base",
        frozenset({"chat", "models"}),
    )
    assert [m for m in ("small", "pub-one", "large", "smaller") if grant.may_use_model(m)] == [
        "small",
        "pub-one",
    ]


@pytest.mark.parametrize(
    ("names", "model", "matches"),
    [
        (["a"], "a", True),
        (["a"], "ab", False),
        (["a*"], "ab", True),
        (["a*"], "a", True),
        (["a*"], "ba", False),
        (["*"], "", True),
        (["*"], "anything", True),
        ([], "a", False),
        (["a.b"], "axb", False),
        (["a*c"], "abc", False),
        (["A"], "a", False),
    ],
)
def test_models_match_by_name_or_prefix(names: list[str], model: str, *, matches: bool) -> None:
    assert name_matcher(names)(model) is matches


@given(st.lists(st.text("ab*", min_size=1, max_size=3), max_size=4), st.text("ab", max_size=4))
def test_the_matcher_is_the_obvious_one(names: list[str], model: str) -> None:
    obvious = any(
        model.startswith(name[:-1]) if name.endswith("*") else model == name for name in names
    )
    assert name_matcher(names)(model) is obvious


def expiring(day: str) -> float:
    sections = document()
    sections["keys"][0]["expires"] = day
    return make_snapshot(**sections).keys["ann00001"].expires_at_s


def test_a_key_is_good_until_the_end_of_its_last_day_in_utc() -> None:
    assert expiring("2026-02-28") == datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    assert expiring("2026-12-31") == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


def test_the_last_day_of_the_calendar_is_a_day_too() -> None:
    assert expiring("9999-12-31") > datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def test_a_key_without_end_never_expires() -> None:
    assert make_snapshot().keys["ann00001"].expires_at_s == float("inf")


def test_no_provider_can_have_the_name_of_a_fallback_cluster() -> None:
    snapshot = make_snapshot()
    assert set(snapshot.targets_by_cluster) == {"east:fallback", "west:fallback"}
    assert not set(snapshot.targets_by_cluster) & set(snapshot.providers)
    assert snapshot.targets_by_cluster[fallback_cluster("west")].id == "west"


def test_targets_know_where_they_are_and_what_they_cost() -> None:
    east, west = make_snapshot().routes["small"].targets
    assert (east.cluster, east.fallback_cluster, east.base_path) == ("east", "east:fallback", "/v1")
    assert (west.dialect, west.base_path) == ("anthropic", "/api/v1")
    assert west.price is not None
    assert (west.price.completion_nanos, west.price.version) == (1000, "p1")
    assert make_snapshot().routes["large"].targets[0].price is None


def test_a_route_caps_tokens_by_itself_or_by_the_default() -> None:
    sections = document(caps={"max_tokens": 500})
    sections["models"][0]["max_tokens"] = 70
    routes = make_snapshot(**sections).routes
    assert (routes["small"].max_tokens, routes["large"].max_tokens) == (70, 500)


def test_the_revision_is_the_contents_and_nothing_else() -> None:
    revision = make_snapshot().revision
    backwards = dict(reversed(document().items()))
    commented = "# another comment\n" + yaml.safe_dump(backwards, sort_keys=False)
    assert compile_config(load(commented)).revision == revision
    assert compile_config(load(text(version=1))).revision == revision


@pytest.mark.parametrize(
    "sections",
    [
        {"caps": {"max_tokens": 1}},
        {"limits": [{"id": "a", "per": [], "requests": 1}]},
        {"guards": []},
        {"keys": []},
        {"evidence": {"trace_sample_ratio": 0.5}},
    ],
)
def test_every_change_of_content_changes_the_revision(sections: dict[str, object]) -> None:
    assert make_snapshot(**sections).revision != make_snapshot().revision
