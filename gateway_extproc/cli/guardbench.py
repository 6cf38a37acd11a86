"""``guard bench``: what the shipped detectors find in labelled files, and what that costs.

Reads a folder of ``*.jsonl``: lines of ``{"text", "label"}`` (1 is an attack), ``pii_spans.jsonl``
with ``{"text", "spans": [{"entity_type", "start_position", "end_position"}]}``, and
``secrets_fixtures.jsonl`` with ``{"text_b64", "label"}``.  Files that are not there leave their
table out.  The weights may have been trained on the very files: what they find in families
they never saw, ``make guard-figures`` tells.
"""

from __future__ import annotations

import argparse
import base64
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.files import BAD_CONFIGURATION
from gateway_extproc.guards.entities import ENTITIES
from gateway_extproc.guards.guard import shipped_heads
from gateway_extproc.guards.scores import Scores

PII_FILE: Final = "pii_spans.jsonl"
SECRETS_FILE: Final = "secrets_fixtures.jsonl"

TYPES: Final = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "STREET_ADDRESS": "address",
    "US_SSN": "us_ssn",
}
"""Labels of the spans, and the entities that look for them."""
DATA_FAMILIES: Final = ("bipia", "injecagent")
"""What tools and documents say: scored by the other head."""
SECRETS: Final = ("api_key", "private_key", "jwt", "url_password", "generic_secret")

Row = dict[str, Any]


class Table(NamedTuple):
    """A heading, then rows of the same length."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        shown = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([self.title, *shown])


def bench(options: argparse.Namespace) -> int:
    """Prints the tables; fails for a folder without any."""
    folder: Path = options.data
    tables = [make(folder / name) for name, make in TABLES.items() if (folder / name).exists()]
    labelled = sorted(path for path in folder.glob("*.jsonl") if path.name not in TABLES)
    if labelled:
        tables.insert(0, injection_table(labelled))
    if not tables:
        raise CommandFailure(f"{folder}: no *.jsonl", BAD_CONFIGURATION)
    print("\n\n".join(map(str, tables)))
    return 0


def injection_table(paths: Sequence[Path]) -> Table:
    """What lies above the thresholds, file by file, attacks and harmless texts apart."""
    scores = Scores(shipped_heads())
    rows: list[tuple[str, ...]] = []
    for path in paths:
        by_label: dict[int, list[float]] = {0: [], 1: []}
        began = time.perf_counter()
        for row in _rows(path):
            role = "tool" if str(row.get("family", "")).startswith(DATA_FAMILIES) else "user"
            by_label[int(row["label"])].append(scores.of(role, row["text"]).level)
        took_us = (time.perf_counter() - began) * 1e6
        count = len(by_label[0]) + len(by_label[1])
        for label, levels in by_label.items():
            if levels:
                rows.append((
                    path.stem, ("harmless", "attacks")[label], str(len(levels)),
                    _percent(sum(level >= 0.5 for level in levels), len(levels)),
                    _percent(sum(level >= 0.9 for level in levels), len(levels)),
                    f"{took_us / count:.0f}",
                ))  # fmt: skip
    columns = ("file", "", "texts", "above 0.5", "above 0.9", "us a text")
    return Table(f"Injection, version {scores.version}: per cent taken", columns, rows)


def pii_table(path: Path) -> Table:
    """Recall over labelled values that overlap a span; precision over the spans."""
    labelled = dict.fromkeys(TYPES.values(), 0)
    met, found, right = dict(labelled), dict(labelled), dict(labelled)
    spent = dict.fromkeys(TYPES.values(), 0.0)
    texts = 0
    for row in _rows(path):
        texts += 1
        for kind, name in TYPES.items():
            began = time.perf_counter()
            spans = ENTITIES[name].find(row["text"])
            spent[name] += time.perf_counter() - began
            values = [
                (span["start_position"], span["end_position"])
                for span in row["spans"]
                if span["entity_type"] == kind
            ]
            labelled[name] += len(values)
            met[name] += sum(any(_overlap(value, span) for span in spans) for value in values)
            found[name] += len(spans)
            right[name] += sum(any(_overlap(value, span) for value in values) for span in spans)
    rows = [
        (name, str(labelled[name]), _percent(met[name], labelled[name]),
         _percent(right[name], found[name]), f"{spent[name] * 1e6 / max(1, texts):.1f}")
        for name in labelled
    ]  # fmt: skip
    columns = ("entity", "labelled", "recall", "precision", "us a text")
    return Table("Personal data: per cent", columns, rows)


def secrets_table(path: Path) -> Table:
    """Texts of which at least one entity takes something."""
    rows: list[tuple[str, ...]] = []
    texts = list(secret_texts(path))
    for label, name in ((1, "with a secret"), (0, "without")):
        chosen = [text for is_secret, _, text in texts if is_secret == label]
        taken = sum(takes_secret(text) for text in chosen)
        rows.append((name, str(len(chosen)), _percent(taken, len(chosen))))
    return Table("Secrets: per cent taken", ("texts", "count", "taken"), rows)


def secret_texts(path: Path) -> Iterator[tuple[int, str, str]]:
    """Label, rule and text of each row."""
    for row in _rows(path):
        text = base64.b64decode(row["text_b64"]).decode("utf-8", "replace")
        yield int(row["label"]), str(row.get("rule", "")), text


def takes_secret(text: str, entities: Sequence[str] = SECRETS) -> bool:
    """Whether one of the entities finds something."""
    return any(ENTITIES[entity].find(text) for entity in entities)


TABLES: Final = {PII_FILE: pii_table, SECRETS_FILE: secrets_table}


def _rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                raise CommandFailure(f"{path}, line {number}: no JSON", BAD_CONFIGURATION) from None
            if isinstance(row, dict) and ("text" in row or "text_b64" in row):
                yield row


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
