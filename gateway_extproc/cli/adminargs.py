"""Arguments of commands that can ask a running gateway."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from gateway_extproc.cli.common import AddCommand, Commands, add_config_option, run_in

ADDRESS: Final = "GATEWAY_ADMIN"
KEY_FILE: Final = "GATEWAY_ADMIN_KEY_FILE"
"""Environment variables that stand for the options."""


def add_admin(parser: argparse.ArgumentParser) -> None:
    """How to ask the admin API; without a credential the command works on files."""
    parser.add_argument(
        "--admin-key-file", type=Path, metavar="FILE",
        help=f"ask the running gateway as the holder of the key in this file (${KEY_FILE})",
    )  # fmt: skip
    parser.add_argument(
        "--admin", default="", metavar="ADDRESS",
        help="the gateway's admin socket, unix:PATH, or HOST:PORT of this machine that leads there "
             f"(${ADDRESS}; admin.sock in the configuration's server.socket_dir)",
    )  # fmt: skip


def add_commands(commands: Commands, add: AddCommand) -> None:
    """``status`` and ``reload``."""
    status = add(commands, "status", "what a running gateway does, and what is wrong with it")
    add_config_option(status)
    add_admin(status)
    status.add_argument("--json", action="store_true", help="JSON instead of text")
    status.set_defaults(run=run_in("running", "status"))
    reload = add(commands, "reload", "let a running gateway read its configuration again")
    add_config_option(reload)
    add_admin(reload)
    reload.set_defaults(run=run_in("running", "reload"))
