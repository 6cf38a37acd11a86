"""``guard``: what the rules say of texts, outside of any request."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from gateway_extproc.cli.adminlog import login, tell_admin_log
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.files import BAD_CONFIGURATION, config_file, read_file
from gateway_extproc.cli.guardargs import DEFAULT_PACKS
from gateway_extproc.config.guardchecks import guard_rules, packs
from gateway_extproc.config.guarding import GuardLevel, GuardRule
from gateway_extproc.config.model import Config
from gateway_extproc.core.access import AdminPermission
from gateway_extproc.core.chat import TextAt
from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.exchange import Finding
from gateway_extproc.core.guarding import SEVERITY
from gateway_extproc.core.ports import Guarded, Scan, StoreUnavailable
from gateway_extproc.core.reviews import NEVER, ReviewClosed, ReviewUnknown
from gateway_extproc.evidence.search import find_decision
from gateway_extproc.guards.guard import RuleGuard, shipped_heads
from gateway_extproc.guards.scores import Scores
from gateway_extproc.identities import state_dir
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.stores.reviews import ReviewFile
from gateway_extproc.supervisor.guards_api import VERBS


def print_packs(options: argparse.Namespace) -> int:
    """The packs as they could stand in a configuration."""
    chosen = [options.pack] if options.pack else list(packs())
    shown = {
        name: [rule.model_dump(mode="json", exclude_defaults=True) for rule in packs()[name]]
        for name in chosen
    }
    print(yaml.safe_dump(shown, sort_keys=False), end="")
    return 0


def score(options: argparse.Namespace) -> int:
    """One line for each line: score, findings, action, microseconds."""
    rules, levels = _policy(options)
    guard, scores = RuleGuard(rules, levels), Scores(shipped_heads())
    who = Guarded(options.tenant, options.route, options.key)
    for texts in _texts(options.file, options.role):
        began = time.perf_counter()
        if options.direction == "in":
            scan = guard.scan_request(texts, who)
        else:
            scan = guard.scan_answer(texts, who)
        took_us = (time.perf_counter() - began) * 1e6
        level = max((scores.of(at.role, at.text).level for at in texts), default=0.0)
        sys.stdout.buffer.write(orjson.dumps(_line(scan, level, took_us)) + b"\n")
    return 0


def _policy(options: argparse.Namespace) -> tuple[Sequence[GuardRule], Sequence[GuardLevel]]:
    if options.config is not None:
        config, _ = read_file(options.config)
        return guard_rules(config), config.guard_levels
    return [rule for name in options.packs or DEFAULT_PACKS for rule in packs()[name]], ()


def _texts(path: Path, role: Any) -> Iterator[list[TextAt]]:
    """The texts of each line; a line that holds none is a failure with its number."""
    with ExitStack() as stack:
        try:
            lines = sys.stdin.buffer if str(path) == "-" else stack.enter_context(path.open("rb"))
        except OSError as error:
            raise CommandFailure(f"{path}: {error.strerror}", BAD_CONFIGURATION) from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _texts_of(orjson.loads(line), role)
            except RequestError as error:
                raise _bad_line(path, number, error.refusal.message) from None
            except ValueError as error:
                raise _bad_line(path, number, str(error)) from None


def _bad_line(path: Path, number: int, why: str) -> CommandFailure:
    return CommandFailure(f"{path}, line {number}: {why}", BAD_CONFIGURATION)


def _texts_of(document: Any, role: Any) -> list[TextAt]:
    if isinstance(document, dict) and isinstance(document.get("text"), str):
        return [TextAt(("text",), role, document["text"])]
    if isinstance(document, dict) and isinstance(document.get("messages"), list):
        request = {"model": "any", "messages": document["messages"]}
        return list(DIALECTS["openai"].read_request("chat", request).texts)
    raise ValueError('neither {"text": ...} nor {"messages": [...]}')


def _line(scan: Scan, level: float, took_us: float) -> dict[str, Any]:
    acting = [found.action for found in scan.findings if found.enforced]
    return {
        "score": round(level, 6),
        "action": max(acting, key=SEVERITY.__getitem__, default="allow"),
        "findings": [_finding(found) for found in scan.findings],
        "microseconds": round(took_us, 1),
        "scanned_chars": scan.scanned,
        "total_chars": scan.total,
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "rule": found.rule,
        "kind": found.kind,
        "action": found.action,
        "mode": found.mode,
        "path": found.path,
        "start": found.start,
        "end": found.end,
        "score": round(found.score, 6),
    }


PERMISSIONS: Final[dict[str, AdminPermission]] = {
    "report": "view_decisions",
    "approve": "change_guards",
    "reject": "change_guards",
    "withdraw": "change_guards",
}
"""What the same would need at the admin server."""


def reviews(options: argparse.Namespace) -> int:
    """One JSON line for each review."""
    config, _ = read_file(config_file(options.config))
    for review in _reviews(config).all():
        if options.state in (None, review.state):
            print(orjson.dumps(review.shown()).decode())
    return 0


def review(options: argparse.Namespace) -> int:
    """Reports findings or judges a report; prints the reviews as they stand then."""
    config, _ = read_file(config_file(options.config))
    file, verb, by = _reviews(config), options.verb, login()
    try:
        if verb == "report":
            record = find_decision(Path(config.evidence.dir), options.decision)
            if record is None:
                raise ReviewUnknown(f"no decision {options.decision} in {config.evidence.dir}")
            made = file.report(record, options.rule, by, options.note)
        else:
            seconds = getattr(options, "seconds", None)
            until_s = NEVER if seconds is None else time.time() + seconds
            made = [file.judge(options.review, VERBS[verb], by, options.note, until_s)]
    except (ReviewUnknown, ReviewClosed, StoreUnavailable) as error:
        raise CommandFailure(str(error)) from None
    tell_admin_log(config, f"guard {verb} {made[0].id}", PERMISSIONS[verb])
    for one in made:
        print(orjson.dumps(one.shown()).decode())
    return 0


def _reviews(config: Config) -> ReviewFile:
    return ReviewFile(state_dir(config), time.time)
