"""Fits the weights of ``limits/weights.py``: how many tokens a character of a class is worth.

    make calibrate-tokens DATA=folder VOCABULARIES=folder

``DATA`` holds texts (JSON lines with a field ``text`` or ``prompt``); three quarters are
fitted, a quarter is held out for the error.  OpenAI's vocabularies come from the extra
``tokenizers``; ``VOCABULARIES`` may hold others as Hugging Face ``<family>.json`` (those need the
package ``tokenizers``).  Writes the module to the standard output.  Deterministic.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from gateway_extproc.limits.estimate import exact_encoding, features
from gateway_extproc.limits.weights import CLASSES

Encode = Callable[[str], int]
TEXTS = 6000
LONGEST = 4000


def texts_of(folder: Path) -> list[str]:
    """Texts of all files, the same number of each at most, in a fixed order."""
    found: list[str] = []
    for file in sorted(folder.rglob("*.jsonl")):
        rows = [row for row in _rows(file) if len(row) >= 8]
        random.Random(1).shuffle(rows)
        found += rows[:500]
    random.Random(2).shuffle(found)
    return found[:TEXTS]


def _rows(file: Path) -> Iterator[str]:
    for line in file.read_bytes().splitlines():
        row = orjson.loads(line)
        for name in ("text", "prompt"):
            if isinstance(row.get(name), str):
                yield row[name][:LONGEST]


def encoders(vocabularies: Path | None) -> dict[str, Encode]:
    """What counts exactly, by family."""
    found: dict[str, Encode] = {}
    for family in ("o200k", "cl100k"):
        encoding = exact_encoding(family)
        if encoding is not None:
            found[family] = lambda text, e=encoding: len(e.encode_ordinary(text))  # type: ignore[misc]
    for file in sorted(vocabularies.glob("*.json")) if vocabularies else ():
        tokenizers: Any = importlib.import_module("tokenizers")
        loaded = tokenizers.Tokenizer.from_file(str(file))
        found[file.stem] = lambda text, t=loaded: len(t.encode(text).ids)  # type: ignore[misc]
    return found


def fit(texts: list[str], encode: Encode) -> dict[str, float]:
    """Non-negative weights with the least squared relative error (projected gradient)."""
    rows = np.array([list(features(t.encode()).values()) for t in texts], dtype=float)
    counts = np.array([encode(text) for text in texts], dtype=float)
    # Relative, but not for a handful of tokens: a word more or less is no error there.
    scale = 1.0 / np.maximum(counts, 20.0)
    a, b = rows * scale[:, None], counts * scale
    gram, right = a.T @ a + 1e-3 * np.eye(a.shape[1]), a.T @ b
    weights = np.full(a.shape[1], 0.25)
    step = 1.0 / np.linalg.eigvalsh(gram)[-1]
    for _ in range(200_000):
        weights = np.maximum(0.0, weights - step * (gram @ weights - right))
    return dict(zip(CLASSES, (round(float(w), 4) for w in weights), strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="make calibrate-tokens")
    parser.add_argument("data", type=Path)
    parser.add_argument("--vocabularies", type=Path)
    options = parser.parse_args()
    texts = texts_of(options.data)
    fitted = {
        family: fit(texts[: len(texts) * 3 // 4], encode)
        for family, encode in encoders(options.vocabularies).items()
    }
    # Unknown vocabularies are about as fine as these; the finest is the careful choice.
    fitted["default"] = {
        name: max(weights[name] for weights in fitted.values()) for name in CLASSES
    }
    print("WEIGHTS: Final[dict[str, dict[Class, float]]] = {")
    for family, weights in fitted.items():
        print(f'    "{family}": {{')
        for name, weight in weights.items():
            print(f'        "{name}": {weight},')
        print("    },")
    print("}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
