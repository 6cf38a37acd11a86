"""The composition root's part for guards: rules with what stands in their files, compiled."""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

from gateway_extproc.config.guardchecks import guard_rules
from gateway_extproc.config.guarding import EntityName, GuardRule
from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config
from gateway_extproc.core.ports import MaskStore
from gateway_extproc.core.secret import Secret
from gateway_extproc.evidence.records import text_fingerprint
from gateway_extproc.guards import languages
from gateway_extproc.guards.errors import GuardCompileError, TermListError
from gateway_extproc.guards.formats import Format, SchemaRefused
from gateway_extproc.guards.guard import Reviews, RuleGuard
from gateway_extproc.guards.masking import CHANGES
from gateway_extproc.guards.shape import shape_of
from gateway_extproc.identities import state_dir
from gateway_extproc.limiters import redis_prefix, redis_topology
from gateway_extproc.stages.conversation import Conversations
from gateway_extproc.stores.masks import HostMasks, RedisMasks
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


def open_conversations(config: Config, pepper: Secret) -> tuple[MaskStore, Conversations] | None:
    """Where masks are kept between requests; call it in the worker's process."""
    settings = config.mask_conversations
    if settings is None:
        return None
    redis = redis_topology(config)
    store: MaskStore = (
        HostMasks(state_dir(config), time.time)
        if redis is None
        else RedisMasks(redis, redis_prefix(config))
    )
    key = hmac.digest(pepper.reveal().encode(), b"masks of conversations", "sha256")
    return store, Conversations(store, settings, key, os.urandom)


def open_redactor(config: Config) -> RuleGuard:
    """A guard that takes out of texts what no evidence may hold; for one thread of its own.

    Its rules are those of the configuration that change texts, for some callers at least, and one
    more for all personal data and secrets.  They are always enforced, without a deadline and
    without what reviews let pass, and look at answers; who looks at prompts lets both sides look.
    (One side is one database: compiling a second one would take seconds more.)  Injection rules
    alone look at prompts, because they score whole turns.
    """
    levels = [
        level.model_copy(
            update={"mode": "enforce", "action": level.action if level.action in CHANGES else None}
        )
        for level in config.guard_levels
    ]
    changed_by_level = {level.rule for level in levels if level.action}
    rules = [
        _redacting(with_terms(rule))
        for rule in guard_rules(config)
        if rule.kind != "format" and (rule.action in CHANGES or rule.id in changed_by_level)
    ]
    finders = GuardRule(
        id="evidence-finders",
        direction="response",
        kind="pii",
        action="redact",
        entities=get_args(EntityName),
    )
    ids = {rule.id for rule in rules}
    return RuleGuard([*rules, finders], [level for level in levels if level.rule in ids])


def _redacting(rule: GuardRule) -> GuardRule:
    always = {"mode": "enforce", "sample": 1.0, "canary": False}
    direction = "request" if rule.kind == "injection" else "response"
    return rule.model_copy(update={**always, "direction": direction})


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
