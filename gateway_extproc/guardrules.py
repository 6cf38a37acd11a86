"""The composition root's part for guards: rules with what stands in their files, compiled."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gateway_extproc.config.guardchecks import guard_rules
from gateway_extproc.config.guarding import GuardRule
from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config
from gateway_extproc.core.secret import Secret
from gateway_extproc.evidence.records import text_fingerprint
from gateway_extproc.guards import languages
from gateway_extproc.guards.errors import GuardCompileError, TermListError
from gateway_extproc.guards.formats import Format, SchemaRefused
from gateway_extproc.guards.guard import Reviews, RuleGuard
from gateway_extproc.guards.shape import shape_of
from gateway_extproc.stores.reviews import FollowedAllowList

TERMS_BYTES_MAX = 16 << 20


def open_guard(config: Config, pepper: Secret, allowed: FollowedAllowList) -> RuleGuard:
    """The guard of one worker.

    Raises ValueError for a file of terms that changed for the worse since it was checked.
    """
    return RuleGuard(
        [with_terms(rule) for rule in guard_rules(config)],
        config.guard_levels,
        reviews=Reviews(partial(text_fingerprint, key=prompt_key(pepper)), allowed.allows),
        mark_key=hmac.digest(pepper.reveal().encode(), b"marks in system prompts", "sha256"),
        clock_ns=time.monotonic_ns,
    )


def prompt_key(pepper: Secret) -> bytes:
    """A key of its own: no fingerprint of a prompt may equal the stored form of a key."""
    return hmac.digest(pepper.reveal().encode(), b"prompt fingerprints", "sha256")


def with_terms(rule: GuardRule) -> GuardRule:
    """The rule with the terms of its file; raises ValueError."""
    if not rule.terms_file:
        return rule
    path = Path(rule.terms_file)
    try:
        if path.stat().st_size > TERMS_BYTES_MAX:
            raise ValueError(f"a file of at most {TERMS_BYTES_MAX} bytes")
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ValueError(f"a file that can be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError("a UTF-8 text, one term a line") from None
    more = tuple(term for line in lines if (term := line.strip()) and not term.startswith("#"))
    return rule.model_copy(update={"terms": (*rule.terms, *more)})


def rule_mistakes(config: Config) -> Iterator[Mistake]:
    """What only the guards themselves can judge: patterns, terms, schemas."""
    for i, rule in enumerate(config.guards):
        path = f"guards[{i}]"
        yield from _bad_patterns(f"{path}.patterns", rule)
        yield from _bad_terms(path, rule)
        yield from _bad_languages(path, rule)
        if rule.format.json_schema is not None:
            try:
                Format(shape_of(rule.format))
            except SchemaRefused as refused:
                expected = f"a schema that can be checked in bounded time ({refused})"
                yield Mistake(f"{path}.format.json_schema", "this schema", expected)


def _bad_patterns(path: str, rule: GuardRule) -> Iterator[Mistake]:
    for j, pattern in enumerate(rule.patterns):
        try:
            RuleGuard([rule.model_copy(update={"patterns": (pattern,)})])
        except GuardCompileError as error:
            yield Mistake(f"{path}[{j}]", repr(pattern), f"a valid pattern ({error.why})")


def _bad_terms(path: str, rule: GuardRule) -> Iterator[Mistake]:
    if rule.kind != "terms":
        return
    try:
        rule = with_terms(rule)
    except ValueError as error:
        yield Mistake(f"{path}.terms_file", repr(rule.terms_file), str(error))
        return
    try:
        RuleGuard([rule])
    except TermListError as error:
        yield Mistake(f"{path}.terms", f"term {error.index + 1}", str(error))


def _bad_languages(path: str, rule: GuardRule) -> Iterator[Mistake]:
    if rule.kind != "language":
        return
    if not languages.is_installed():
        expected = f"a kind whose extra is installed ({languages.EXTRA})"
        yield Mistake(f"{path}.kind", repr(rule.kind), expected)
        return
    for name in ("allowed", "denied"):
        for j, code in enumerate(getattr(rule, name)):
            if code not in languages.KNOWN_LANGUAGES:
                yield Mistake(f"{path}.{name}[{j}]", repr(code), "a language that is known")
