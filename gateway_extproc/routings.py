"""The composition root's part for routing: what the route stage is told by other rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from gateway_extproc.config.condition import ConditionError, compile_route_condition
from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.planning import RouteRule
from gateway_extproc.guards import languages
from gateway_extproc.stages.route import Wishes

LEAST_LETTERS: Final = 20
LEAST_SHARE: Final = 0.6
"""A shorter or less certain text has no language: conditions see an empty one."""


def wishes_of(config: Config) -> Wishes:
    """Where requests say what they would like."""
    routing = config.routing
    return Wishes(
        routing.region_header,
        routing.region_label,
        routing.home_region,
        routing.region_required,
        routing.conversation_header,
    )


def asks_language(config: Config) -> bool:
    """Whether a route rule's condition may ask for the language."""
    return any("language" in uses for uses in _uses(config))


def language_mistakes(config: Config) -> Iterator[Mistake]:
    """Conditions over a language that nobody here can tell."""
    if asks_language(config) and not languages.is_installed():
        expected = f"no 'language' without the extra ({languages.EXTRA})"
        yield Mistake("routing.rules", "a condition over 'language'", expected)


def language_of(rules: Iterable[RouteRule]) -> Callable[[LlmRequest], str]:
    """Tells the language of what a user said last, as ISO 639 names it."""
    if not any("language" in rule.uses for rule in rules) or not languages.is_installed():
        return lambda request: ""
    known = languages.Languages()

    def judge(request: LlmRequest) -> str:
        said = next((at.text for at in reversed(request.texts) if at.role == "user"), "")
        letters, shares = known.of(said)
        if letters < LEAST_LETTERS:
            return ""
        best = max(shares, key=shares.__getitem__)
        return best if shares[best] >= LEAST_SHARE else ""

    return judge


def _uses(config: Config) -> Iterator[frozenset[str]]:
    for rule in config.routing.rules:
        try:
            yield compile_route_condition(rule.when)[1] if rule.when else frozenset()
        except ConditionError:
            yield frozenset()  # told elsewhere
