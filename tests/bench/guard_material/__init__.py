"""Training material of the injection classifier that was written for this project.

``attacks.txt``, ``harmless.txt``, ``languages.txt`` and ``documents.txt`` hold templates:
``$NAME = a | b`` defines a list for what follows, ``$NAME`` draws from it, ``(a|b|)`` is a
choice, ``[section] n`` begins a group of which each line is drawn ``n`` times.  In
``languages.txt`` and ``documents.txt`` a line is an attack (``+``) or harmless (``-``).
Drawing is seeded: the same files give the same texts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent
_CHOICE = re.compile(r"\(([^()]*)\)")
_NAME = re.compile(r"\$([A-Z]+)")
_ESCAPES = {"\\n": "\n", "\\$": "\x03", "\\(": "\x01", "\\)": "\x02"}
_SAME = ("BOT", "AI")  # drawn once for a text: the one who is spoken of
_SECTION = re.compile(r"\[([A-Za-z]+)\] (\d+)")


class Sample(NamedTuple):
    """One text: ``line`` names its template, by which halves are kept apart."""

    text: str
    label: int
    section: str
    line: int


class _Template(NamedTuple):
    text: str
    label: int
    section: str
    times: int
    line: int


def samples(name: str, *, seed: int, times: float = 1.0, folder: Path = _FOLDER) -> list[Sample]:
    """The different texts drawn from ``name``; ``times`` multiplies how often."""
    rng = random.Random(f"{seed} {name}")
    found: dict[str, Sample] = {}
    for template, lists in _templates(name, folder):
        for _ in range(max(1, round(template.times * times))):
            text = _draw(template.text, lists, rng)
            found.setdefault(text, Sample(text, template.label, template.section, template.line))
    return list(found.values())


def _templates(name: str, folder: Path) -> Iterator[tuple[_Template, dict[str, list[str]]]]:
    lists: dict[str, list[str]] = {}
    section, times = "", 1
    label = 1 if name == "attacks" else 0
    for number, raw in enumerate((folder / f"{name}.txt").read_text("utf-8").splitlines()):
        line = raw.strip()
        if not line or line.startswith("# "):
            continue
        if header := _SECTION.fullmatch(line):
            section, times = header[1], int(header[2])
        elif listed := re.fullmatch(r"\$([A-Z]+) = (.*)", line):
            lists[listed[1]] = [item.strip() for item in listed[2].split(" | ")]
        elif line.startswith(("+ ", "- ")):
            yield _Template(line[2:], int(line[0] == "+"), section, times, number), lists
        else:
            yield _Template(line, label, section, times, number), lists


def _draw(text: str, lists: dict[str, list[str]], rng: random.Random) -> str:
    """Innermost choices first; brackets without a choice stay as they are."""

    def choose(found: re.Match[str]) -> str:
        options = found[1].split("|")
        return rng.choice(options) if len(options) > 1 else f"\x01{found[1]}\x02"

    for escape, char in _ESCAPES.items():
        text = text.replace(escape, char)
    names = {name: rng.choice(lists[name]) for name in _SAME if name in lists}
    while _CHOICE.search(text) or _NAME.search(text):
        text = _CHOICE.sub(choose, text)
        text = _NAME.sub(lambda found: names.get(found[1]) or rng.choice(lists[found[1]]), text)
    text = text.replace("\x01", "(").replace("\x02", ")").replace("\x03", "$")
    return re.sub(r"  +", " ", text).replace(" .", ".").replace(" ?", "?").strip()
