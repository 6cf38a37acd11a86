"""The texts that the injection classifier learns from and is measured on.

Labelled files come from a folder that is named on the command line; templates from
``guard_material``; ordinary prose and code from the documentation strings and sources of
Python's standard library, which every machine with Python has.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from bench.guard_evasions import TRANSFORMS
from bench.guard_material import samples

# One collection under several names: the family is that of its origin.
ORIGINS = {
    "imoxto": "hackaprompt",
    "gandalf": "mosscap",
    "jailbreak-cls": "jailbreak_llms",
    "chatgpt-jb": "jailbreak_llms",
}
PROMPT_FILES = (
    "alpaca_seed_benign", "arena_hard_benign", "awesome_prompts_benign", "cse_pi_en",
    "cse_pi_multilingual", "cse_system_prompts_benign", "deepset", "giskard", "hackaprompt",
    "humaneval_benign", "jailbreak_llms", "mosscap", "mtbench_benign", "opi_benign_apps",
    "parapet_handwritten", "parapet_mix",
)  # fmt: skip
DATA_FILES = ("bipia_train", "injecagent_base")

APART = ("spaced", "spaced, wide gaps", "dotted", "upper case")


class Row(NamedTuple):
    """One text; ``family`` is what is held out together, ``kind`` what is reported together."""

    text: str
    label: int
    family: str
    kind: str


def prompts(folder: Path) -> list[Row]:
    """What users wrote, each text once."""
    rows = [row for name in PROMPT_FILES for row in map(_prompt, _read(folder / f"{name}.jsonl"))]
    by_key = {_key(row.text): row for row in reversed(rows)}
    return list(reversed(by_key.values()))


def _prompt(row: dict[str, str]) -> Row:
    family, sub, label = row["family"], row.get("sub") or "", int(row["label"])
    if label:
        family = ORIGINS.get(sub, family)
        kind = ("cse_multilingual" if row.get("lang") else "cse_en") if family == "cse" else family
        return Row(row["text"], 1, family, kind)
    if family == "parapet":
        family = f"parapet_{sub}"
    elif family in ("deepset", "handwritten"):
        family = f"benign_{family}"
    return Row(row["text"], 0, family, family)


def own(*, times: float = 4.0) -> list[Row]:
    """Templates of the project; the family is the file, the kind names the template."""
    rows: list[Row] = []
    for name, factor in (("attacks", 1.0), ("harmless", 1.0), ("languages", 0.5)):
        for sample in samples(name, seed=1, times=times * factor):
            rows.append(Row(sample.text, sample.label, f"own_{name}", f"{name}:{sample.line}"))
    return rows + _disguised([row for row in rows if not row.label])


def _disguised(harmless: list[Row]) -> list[Row]:
    """Each twentieth harmless template with its letters apart: that alone is no attack."""
    disguises = itertools.cycle(TRANSFORMS[name] for name in APART)
    return [
        row._replace(text=disguise(row.text[:400]))
        for row, disguise in zip(harmless[::20], disguises, strict=False)
    ]


def held_out(row: Row) -> bool:
    """Whether a template is among the fifth that figures on own material are taken from."""
    return int(row.kind.partition(":")[2]) % 5 == 0


def standard_library(*, sources: int = 700, docs: int = 900) -> list[Row]:
    """Pieces of Python's sources and documentation strings."""
    rng = random.Random(1)
    code: list[str] = []
    prose: list[str] = []
    for source in _modules():
        for length in (rng.choice((300, 700, 1500, 2500)), rng.choice((300, 700, 1500))):
            start = rng.randrange(max(1, len(source) - 1500))
            code.append(source[start : start + length])
        prose += (doc[: rng.choice((200, 400, 900, 2000))] for doc in _docstrings(source))
    picked = rng.sample(code, min(sources, len(code))) + rng.sample(prose, min(docs, len(prose)))
    return [Row(text, 0, "python", "python") for text in picked]


def _modules() -> Iterator[str]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(root.rglob("*.py")):
        if not {"site-packages", "test", "tests"} & set(file.parts):
            try:
                yield file.read_text("utf-8")
            except UnicodeDecodeError:
                continue


def _docstrings(source: str) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            doc = ast.get_docstring(node)
            if doc and len(doc) > 40:
                yield doc


class Placed(NamedTuple):
    """A document or tool result; ``orders`` are the instructions that were put into it."""

    text: str
    orders: str
    family: str
    kind: str
    source: str  # the document that it was put into


def documents(folder: Path) -> list[Placed]:
    """Tool results and documents with and without instructions in them."""
    return [*_bipia(folder), *_injecagent(folder)]


def _bipia(folder: Path) -> Iterator[Placed]:
    rows = list(_read(folder / "bipia_train.jsonl"))
    clean = {row["text"].strip() for row in rows if not int(row["label"])}
    known = {line.strip() for text in clean for line in text.splitlines()}
    for row in rows:
        text, kind = row["text"], row["sub"].split("/")[0]
        lines = [line for line in text.splitlines() if line.strip() not in known]
        orders = "\n".join(lines).strip() if int(row["label"]) else ""
        rest = next((doc for doc in clean if doc[:60] in text and doc[-60:] in text), "")
        yield Placed(text, orders, "bipia", kind, _digest(rest or text))


def _injecagent(folder: Path) -> Iterator[Placed]:
    rows = list(_read(folder / "injecagent_base.jsonl"))
    attacks = [row["text"] for row in rows if int(row["label"])]
    for row in rows:
        text = row["text"]
        orders = _inserted(text, attacks) if int(row["label"]) else ""
        yield Placed(text, orders, "injecagent", row["sub"], _digest(text.replace(orders, "")))


def _inserted(text: str, others: list[str]) -> str:
    """What differs from the texts of the same template: those that share the longest start."""
    same = sorted(others, key=lambda other: -_shared(text, other))[1:12]
    start = min(_shared(text, other) for other in same)
    end = min(_shared(text[::-1], other[::-1]) for other in same)
    return text[start : len(text) - end]


def _shared(one: str, other: str) -> int:
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return at
    return min(len(one), len(other))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that is read."""
    return {
        name: hashlib.sha256((folder / f"{name}.jsonl").read_bytes()).hexdigest()
        for name in (*PROMPT_FILES, *DATA_FILES)
    }


def _read(file: Path) -> Iterator[dict[str, str]]:
    yield from map(orjson.loads, file.read_bytes().splitlines())


def _key(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()[:2000]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
