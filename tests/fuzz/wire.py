"""``make fuzz-wire``: coverage-guided fuzzing of the fast wire, by atheris.

Each input drives one connection (``support.wirefuzz``); what breaks a promise is written to
``build/fuzz`` and ends the run.  ``python -m fuzz.wire FILE`` runs such a file again.
"""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["gateway_extproc.wire.http2", "hpack"]):
    from support.wirefuzz import drive

SEEDS: Final = 64


def seeds(folder: Path) -> None:
    """Inputs to begin with: the same on every machine."""
    folder.mkdir(parents=True, exist_ok=True)
    source = random.Random(9113)
    for number in range(SEEDS):
        data = source.randbytes(source.randrange(20, 1500))
        (folder / f"seed-{number:02}").write_bytes(data)


def main() -> None:
    logging.disable(logging.CRITICAL)
    folder = Path("build/fuzz")
    corpus = folder / "corpus"
    if not corpus.exists():
        seeds(corpus)
    arguments = [
        sys.argv[0], f"-artifact_prefix={folder}/", "-max_len=4096", "-timeout=20",
        "-print_final_stats=1", *sys.argv[1:],
    ]  # fmt: skip
    if not any(not argument.startswith("-") for argument in sys.argv[1:]):
        arguments.append(str(corpus))
    atheris.Setup(arguments, drive)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
