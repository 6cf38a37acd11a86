"""Arguments of ``explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway_extproc.cli.adminargs import add_admin
from gateway_extproc.cli.common import AddCommand, Commands, add_config_option, run_in

ENDPOINT_NAMES: Final = ("chat", "messages", "models")


def add_command(commands: Commands, add: AddCommand) -> None:
    """``explain``."""
    explain = add(commands, "explain", "what would happen to a request now, and why; sends nothing")
    explain.add_argument("file", type=Path, metavar="REQUEST",
                         help="the request's JSON body; - reads standard input")  # fmt: skip
    add_config_option(explain)
    add_admin(explain)
    explain.add_argument("--endpoint", choices=ENDPOINT_NAMES, default="chat",
                         help="the interface that is asked (chat)")  # fmt: skip
    explain.add_argument("--key", default="", metavar="ID",
                         help="as with this API key, by its id")  # fmt: skip
    for name in ("tenant", "user", "application"):
        explain.add_argument(f"--{name}", default="", metavar="NAME", help=f"as this {name}")
    explain.add_argument("--role", action="append", default=[], dest="roles", metavar="ROLE",
                         help="with this role; may be given again (developer)")  # fmt: skip
    explain.add_argument("--header", action="append", default=[], dest="headers",
                         metavar="NAME:VALUE", help="a header of the request; may be given again"
                         )  # fmt: skip
    explain.add_argument("--source", default="", metavar="ADDRESS",
                         help="the address that it comes from")  # fmt: skip
    explain.add_argument("--json", action="store_true", help="JSON instead of text")
    explain.set_defaults(run=run_in("explain", "explain"))
