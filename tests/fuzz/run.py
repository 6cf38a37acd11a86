"""``python -m fuzz.run frames|bytes [CORPUS] [libFuzzer's options]``; needs atheris.

``--random N`` runs N inputs of a random generator instead, without atheris.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable
from typing import Any, Final

INSTRUMENTED: Final = "gateway_extproc.wire.http2"

SMALL: Final = {
    "STREAM_WINDOW": 64 * 1024,
    "CONNECTION_WINDOW": 256 * 1024,
    "CONCURRENT_STREAMS": 50,
    "HELD_BYTES": 300_000,
    "WORKLESS_BURST": 300,
    "BACKLOG_BYTES": 2_000,
    "WRITE_HIGH_WATER": 20_000,
    "TURN_BYTES": 30_000,
    "READ_BYTES_MIN": 16_384 + 9,
}
"""Limits that a short input can reach; the others stay."""


def main(kind: str, *arguments: str) -> None:
    logging.disable(logging.CRITICAL)
    from gateway_extproc.wire.http2 import limits

    if kind == "frames":
        # Before other modules take their limits.
        for name, value in SMALL.items():
            assert hasattr(limits, name), name
            setattr(limits, name, value)
    if arguments[:1] == ("--random",):
        _run_random(_one(kind), int(arguments[1]))
        return
    import atheris

    with atheris.instrument_imports(include=[INSTRUMENTED]):
        one = _one(kind)
    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def _one(kind: str) -> Callable[[bytes], None]:
    from fuzz import actions
    from fuzz.stand import Stand
    from fuzz.virtual import VirtualLoop

    play = {"frames": actions.frames_of, "bytes": actions.bytes_of}[kind]
    loop = VirtualLoop()

    def one(data: bytes) -> None:
        play(Stand(loop), data)

    return one


def _run_random(one: Callable[[bytes], Any], count: int) -> None:
    """Always the same inputs; the one that fails is printed."""
    chosen = random.Random(count)
    for number in range(count):
        data = chosen.randbytes(chosen.choice((10, 50, 200)))
        try:
            one(data)
        except BaseException:
            print(f"input {number}: {data.hex()}", file=sys.stderr)
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])
