"""Recall, precision and cost of the guard's finders, on labelled data where it is present.

``python tests/bench/guard_entities.py [FOLDER]`` prints three tables; the folder holds
``pii_spans.jsonl`` and ``secrets_fixtures.jsonl``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway_extproc.cli.guardbench import (
    PII_FILE,
    SECRETS,
    SECRETS_FILE,
    pii_table,
    secret_texts,
    takes_secret,
)
from gateway_extproc.config.guarding import GuardRule
from gateway_extproc.core.chat import TextAt
from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards import RuleGuard
from gateway_extproc.guards.entities import ENTITIES
from gateway_extproc.guards.terms import TermList

DATA = Path(__file__).parents[3] / "shared" / "data" / "guard"

# The fixtures of detect-secrets carry the names of its plugins, the others those of Gitleaks;
# both have one for JSON web tokens, which is counted apart.
PLUGINS = frozenset(
    [
        "artifactory",
        "aws_key",
        "azure_storage_key",
        "basic_auth",
        "cloudant",
        "discord",
        "github_token",
        "gitlab_token",
        "high_entropy_strings",
        "ibm_cloud_iam",
        "ibm_cos_hmac",
        "ip_public",
        "mailchimp_key",
        "npm",
        "pypi_token",
        "sendgrid",
        "softlayer",
        "square_oauth",
        "stripe_key",
        "telegram_token",
        "twilio",
    ]
)

PROSE = (
    "Could you help me to plan a week in the mountains? We are four people, two of them children "
    "of 7 and 10, and we would like to walk for about three hours a day. Last year, in 2023, we "
    "spent 1,200 euros on the house; this time it may be a little more. My sister says that the "
    "valley is lovely in June, but the weather can change within an hour, so we also need some "
    "ideas for rainy days: a museum, a pool, or a place where one can bake bread. Please write it "
    "as a list with one line per day, and say which of the walks are fine with a pushchair. "
)


@dataclass(frozen=True)
class Rates:
    positives: int
    caught: int
    negatives: int
    flagged: int

    @property
    def recall(self) -> float:
        return self.caught / max(1, self.positives)

    @property
    def false_positives(self) -> float:
        return self.flagged / max(1, self.negatives)


def half_of(rule: str) -> str:
    """``gitleaks``, ``detect-secrets`` or ``jwt``."""
    return "jwt" if rule == "jwt" else "detect-secrets" if rule in PLUGINS else "gitleaks"


def secret_rates(half: str, folder: Path = DATA, names: Sequence[str] = SECRETS) -> Rates:
    """What of one half is taken."""
    counts = {(label, hit): 0 for label in (0, 1) for hit in (False, True)}
    for label, rule, text in secret_texts(folder / SECRETS_FILE):
        if half_of(rule) == half:
            counts[label, takes_secret(text, names)] += 1
    return Rates(
        counts[1, True] + counts[1, False],
        counts[1, True],
        counts[0, True] + counts[0, False],
        counts[0, True],
    )


def guard_of(names: Sequence[str], patterns: Sequence[str] = ()) -> RuleGuard:
    fields = {"id": "e", "direction": "both", "kind": "pii", "action": "redact", "entities": names}
    rules = [GuardRule.model_validate(fields, strict=False)]
    if patterns:
        rules.append(
            GuardRule(
                id="p", direction="both", kind="pattern", action="block", patterns=tuple(patterns)
            )
        )
    return RuleGuard(rules)


def microseconds(guard: RuleGuard, text: str, seconds: float = 0.2) -> float:
    """The fastest of several rounds, in CPU time of this process."""
    at = [TextAt(("messages", 0, "content"), "user", text)]
    guard.scan_request(at, Guarded("t"))
    best, ends = 1e9, time.process_time() + seconds
    while time.process_time() < ends:
        rounds = max(1, 20_000 // len(text))
        began = time.process_time()
        for _ in range(rounds):
            guard.scan_request(at, Guarded("t"))
        best = min(best, (time.process_time() - began) / rounds)
    return best * 1e6


def prose(length: int) -> str:
    return (PROSE * (length // len(PROSE) + 1))[:length]


PATTERNS = tuple(
    rf"{verb}\s+(all\s+)?{when}\s+{what}"
    for verb in ("ignore", "disregard", "forget", "override", "bypass")
    for when in ("previous", "prior", "above", "earlier", "your")
    for what in ("instructions", "rules", "prompts?")
)


def main(folder: Path) -> None:
    print(pii_table(folder / PII_FILE))
    print(f"\n{'secrets':<16} {'caught':>9} {'flagged':>9} {'recall':>7} {'false positives':>16}")
    for half in ("gitleaks", "jwt", "detect-secrets"):
        for names in (SECRETS, SECRETS[:-1]):
            rates = secret_rates(half, folder, names)
            print(
                f"{half:<16} {rates.caught:>4}/{rates.positives:<4} {rates.flagged:>4}/"
                f"{rates.negatives:<4} {rates.recall:>7.1%} {rates.false_positives:>16.1%}"
                f"{'' if names == SECRETS else '  without generic_secret'}"
            )
    print(f"\n{'microseconds of CPU':<28} {'1 KB':>8} {'8 KB':>8} {'100 KB':>8}")
    every = tuple(name for name in ENTITIES if name != "hidden")
    stages: dict[str, RuleGuard] = {
        "patterns, PII, secrets": guard_of(every, PATTERNS),
        "PII": guard_of([n for n in every if n not in SECRETS]),
        "secrets": guard_of(SECRETS),
    }
    for title, guard in stages.items():
        each = [microseconds(guard, prose(size)) for size in (1024, 8192, 102_400)]
        print(f"{title:<28} " + " ".join(f"{value:>8.1f}" for value in each))
    _terms()


def _terms() -> None:
    words = [f"{stem}{number}" for number in range(25_000) for stem in ("ka", "no ", "tri", "zu x")]
    began = time.process_time()
    listed = TermList(words)
    built = time.process_time() - began
    costs = []
    for size in (1024, 8192, 102_400):
        text = prose(size)
        began = time.process_time()
        for _ in range(max(1, 200_000 // size)):
            listed.find(text)
        costs.append((time.process_time() - began) / max(1, 200_000 // size) * 1e6)
    print(
        f"{listed.size} terms, built in {built:.1f} s ".ljust(29)
        + " ".join(f"{value:>8.1f}" for value in costs)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
