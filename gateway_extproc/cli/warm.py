"""What the fork server imports; this module itself imports nothing heavy."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway_extproc.supervisor.warm import start_fork_server

_ALWAYS: Final = (
    "gateway_extproc.app",
    "gateway_extproc.limits.vocabularies",
    "gateway_extproc.guards.preload",
    "gateway_extproc.routing.complexitypreload",
)
_LANGUAGES: Final = "gateway_extproc.guards.preloadlanguages"


def preload(text: str) -> tuple[str, ...]:
    """The modules for a configuration's text.

    Rules of the kind ``language`` need a hundred megabytes that workers share when they are
    forked; a text that merely has the word in it shares them in vain, and works.
    """
    return (*_ALWAYS, _LANGUAGES) if "language" in text else _ALWAYS


def warm_up(config_file: Path | None) -> None:
    """Starts the fork server beside the imports of this process; what is wrong is told later."""
    # Workers are forked before gRPC runs, and nothing else is forked without an exec; its handlers
    # would only complain of a child that starts while a call is open.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    text = ""
    if config_file is not None:
        with suppress(OSError, ValueError):
            text = config_file.read_text()
    start_fork_server(preload(text))
