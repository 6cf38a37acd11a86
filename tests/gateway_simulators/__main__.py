"""``python -m gateway_simulators``: simulated providers in one process until a signal."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import get_args

from gateway_simulators.server import SHAPES, ShapeName, Simulator


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if all(getattr(options, shape) is None for shape in SHAPES):
        print(f"give at least one of --{', --'.join(SHAPES)}", file=sys.stderr)
        return 2
    asyncio.run(_run(options))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway_simulators", description=__doc__)
    for shape in SHAPES:
        parser.add_argument(f"--{shape}", metavar="HOST:PORT", type=_address)
        parser.add_argument(f"--{shape}-key-file", metavar="FILE", type=_key)
    parser.add_argument("--chunk-delay-ms", type=int, default=0, help="wait between SSE events")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, got {text!r}")
    return host.strip("[]"), int(port)


def _key(file: str) -> str:
    """The key in a file; keys never stand on a command line, where `ps` shows them."""
    try:
        key = Path(file).read_text().strip()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not key:
        raise argparse.ArgumentTypeError(f"{file} is empty")
    return key


async def _run(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    shapes: tuple[ShapeName, ...] = get_args(ShapeName)
    async with AsyncExitStack() as stack:
        for shape in shapes:
            address = getattr(options, shape)
            if address is not None:
                await stack.enter_async_context(
                    Simulator(
                        shape,
                        key=getattr(options, f"{shape}_key_file"),
                        host=address[0],
                        port=address[1],
                        chunk_delay_ms=options.chunk_delay_ms,
                    )
                )
        print("ready", flush=True)
        await ended.wait()


if __name__ == "__main__":
    sys.exit(main())
