"""What the arguments of several commands have in common; imports no room of the gateway."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

CONFIG_PLACES: Final = (Path("gateway.yaml"), Path("run/gateway.yaml"))
"""Where a configuration is looked for when none is named."""

Commands = Any
"""argparse's own class has no public name."""
AddCommand = Callable[[Any, str, str], argparse.ArgumentParser]
"""Adds a command with its help text, as all commands have it."""

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """``--config``, for a command that works with the configuration that is here."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE",
        help=f"the gateway's configuration ({' or '.join(map(str, CONFIG_PLACES))})",
    )  # fmt: skip


def duration(text: str) -> float:
    """Seconds of a duration such as ``90d``; raises ValueError."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None:
        raise ValueError(text)
    return float(int(match[1]) * UNITS[match[2]])


def run_in(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """Runs a command of ``cli``; its module is only imported then, so that --help is quick."""
    return partial(_run, module, name)


def _run(module: str, name: str, options: argparse.Namespace) -> int:
    command = getattr(importlib.import_module(f"gateway_extproc.cli.{module}"), name)
    code: int = command(options)
    return code
