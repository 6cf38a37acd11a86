"""The plan of targets, by its properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.compile import Route
from gateway_extproc.core.identity import Permit, Principal, Tenant
from gateway_extproc.core.route import Target
from gateway_extproc.routing.candidates import plan_targets

CLASSES = ("standard", "health", "legal")


def target(provider: str, model: str, classes: frozenset[str]) -> Target:
    return Target(provider, "openai", model, provider, f"{provider}:fallback", "/v1",
                  data_classes=classes)  # fmt: skip


TARGETS = st.builds(
    target,
    st.sampled_from("abcd"),
    st.sampled_from(["m1", "m2"]),
    st.frozensets(st.sampled_from(CLASSES), min_size=1),
)
ROUTES = st.lists(TARGETS, max_size=8).map(lambda t: Route("r", tuple(t), 100, 0.0))


def permit(data_class: str) -> Permit:
    principal = Principal(Tenant("t", data_class), "u", "a", (), "api_key", "k")
    return Permit(principal, (), frozenset({data_class}))


@given(ROUTES, st.sampled_from(CLASSES), st.integers(1, 8))
def test_a_plan_is_the_fitting_targets_in_order_each_once(
    route: Route, data_class: str, attempts: int
) -> None:
    plan = plan_targets(permit(data_class), route, attempts)
    fitting = [t for t in route.targets if data_class in t.data_classes]
    assert [t.name for t in plan] == list(dict.fromkeys(t.name for t in fitting))[:attempts]
    for chosen in plan:
        assert chosen is next(t for t in fitting if t.name == chosen.name)


@given(ROUTES, st.sampled_from(CLASSES), st.integers(1, 8))
def test_no_plan_reaches_what_the_data_must_not(
    route: Route, data_class: str, attempts: int
) -> None:
    assert all(
        data_class in t.data_classes for t in plan_targets(permit(data_class), route, attempts)
    )


@given(ROUTES, st.sampled_from(CLASSES), st.integers(1, 7))
def test_more_attempts_only_add_to_the_end(route: Route, data_class: str, attempts: int) -> None:
    fewer = plan_targets(permit(data_class), route, attempts)
    assert plan_targets(permit(data_class), route, attempts + 1)[: len(fewer)] == fewer
