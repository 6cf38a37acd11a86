"""A server for ``child_server``: KIND ADDRESS [LIMIT=VALUE ...]."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from gateway_extproc.wire.http2 import limits


def main(kind: str, address: str, *changes: str) -> None:
    for change in changes:
        name, _, value = change.partition("=")
        assert hasattr(limits, name), name
        setattr(limits, name, type(getattr(limits, name))(float(value)))
    # Only now, because other modules take their limits when they are imported.
    from support.wires import serve_puppet

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_puppet("grpcio" if kind == "grpcio" else "fast", address))


if __name__ == "__main__":
    main(*sys.argv[1:])
