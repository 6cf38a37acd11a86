"""Arguments of ``guard``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from gateway_extproc.cli.common import (
    AddCommand,
    Commands,
    add_config_option,
    duration,
    run_in,
)
from gateway_extproc.core.chat import ROLES
from gateway_extproc.core.guarding import PACKS
from gateway_extproc.core.reviews import FOLLOWS

DEFAULT_PACKS: Final = ("baseline", "strict", "pii", "secrets")

LINES: Final = 'lines of {"text": ...} or {"messages": [...]}; - reads standard input'


def add_commands(commands: Commands, add: AddCommand) -> None:
    """``guard`` and what stands behind it."""
    packs = add(commands, "packs", "print the rules of the shipped packs")
    packs.add_argument("pack", nargs="?", choices=PACKS, help="all, if not given")
    packs.set_defaults(run=run_in("guards", "print_packs"))

    score = add(commands, "score", "judge texts by the guards; one JSON line each")
    score.add_argument("file", type=Path, metavar="FILE", help=LINES)
    score.add_argument("--role", choices=ROLES, default="user", help="who says the texts (user)")
    score.add_argument(
        "--direction", choices=("in", "out"), default="in", help="prompts or answers (in)"
    )
    score.add_argument(
        "--config", type=Path, metavar="FILE", help="judge by the guards of this configuration"
    )
    score.add_argument(
        "--pack", action="append", choices=PACKS, dest="packs",
        help=f"judge by this pack; may be given again (all of {', '.join(DEFAULT_PACKS)})",
    )  # fmt: skip
    for name, what in (("tenant", "tenant"), ("route", "model"), ("key", "key, by its id")):
        score.add_argument(f"--{name}", default="", help=f"as for this {what}")
    score.set_defaults(run=run_in("guards", "score"))

    bench = add(commands, "bench", "what the detectors find in labelled files, and its cost")
    bench.add_argument("data", type=Path, metavar="DATA", help="a folder of *.jsonl")
    bench.set_defaults(run=run_in("guardbench", "bench"))

    reviews = _review(commands, add, "reviews", "findings that were reported as wrong")
    reviews.add_argument("--state", choices=tuple(FOLLOWS), help="only those that stand so")
    report = _review(commands, add, "report", "say that a decision's findings are wrong")
    report.add_argument("decision", help="the decision's id, or the request's id")
    report.add_argument("--rule", default="", help="only this rule's findings")
    report.add_argument("--note", default="")
    for verb, text in (
        ("approve", "let the rule pass that very text"),
        ("reject", "the rule was right"),
        ("withdraw", "end an approval"),
    ):
        judge = _review(commands, add, verb, text)
        judge.add_argument("review", help="as 'reviews' shows it")
        judge.add_argument("--note", default="")
        if verb == "approve":
            judge.add_argument(
                "--for", type=duration, metavar="TIME", dest="seconds",
                help="such as 90d; for good, if not given",
            )  # fmt: skip


def _review(commands: Commands, add: AddCommand, name: str, text: str) -> argparse.ArgumentParser:
    parser = add(commands, name, text)
    add_config_option(parser)
    parser.set_defaults(run=run_in("guards", name if name == "reviews" else "review"), verb=name)
    return parser
