"""Arguments of ``keys``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from gateway_extproc.cli.adminargs import add_admin
from gateway_extproc.cli.common import (
    AddCommand,
    Commands,
    add_config_option,
    duration,
    run_in,
)

NEVER: Final = float("inf")


def add_commands(commands: Commands, add: AddCommand) -> None:
    """``keys`` and what stands behind it."""
    issue = _command(commands, add, "issue", "make a key; it is shown once")
    _owner_options(issue)
    issue.add_argument("--env", default="live", help="second part of the key (live)")
    issue.add_argument(
        "--static",
        action="store_true",
        help="store nothing; print an entry for the section 'keys' of the configuration",
    )

    listing = _command(commands, add, "list", "all keys, revoked ones included")
    listing.add_argument("--tenant", help="only this tenant's")
    listing.add_argument("--state", choices=("active", "suspended", "revoked"))

    show = _command(commands, add, "show", "one key")
    show.add_argument("id")

    rotate = _command(commands, add, "rotate", "a new key in place of one")
    rotate.add_argument("id")
    rotate.add_argument("--env", default="live", help="second part of the new key (live)")
    rotate.add_argument(
        "--overlap", type=duration, default=86400.0, metavar="TIME",
        help="how long the old key still works, such as 30m or 7d (1d)",
    )  # fmt: skip

    revoke = _command(commands, add, "revoke", "end a key for good")
    revoke.add_argument("id")
    revoke.add_argument("--reason", default="", help="kept with the key")

    suspend = _command(commands, add, "suspend", "end a key for a time")
    suspend.add_argument("id")
    suspend.add_argument(
        "--for", type=duration, default=NEVER, metavar="TIME", dest="seconds",
        help="such as 15m; until it is resumed, if not given",
    )  # fmt: skip
    suspend.add_argument("--reason", default="", help="kept with the key")

    resume = _command(commands, add, "resume", "lift a suspension")
    resume.add_argument("id")

    imported = _command(
        commands, add, "import", "keys made elsewhere: entries as in the section 'keys'"
    )
    imported.add_argument("file", type=Path, help="YAML or JSON list; - reads standard input")


def _command(commands: Commands, add: AddCommand, name: str, text: str) -> argparse.ArgumentParser:
    parser = add(commands, name, text)
    add_config_option(parser)
    if name != "import":
        add_admin(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_in("keys", f"{name}_command"))
    return parser


def _owner_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--application", default="default")
    parser.add_argument("--role", action="append", dest="roles", help="again for more (developer)")
    parser.add_argument("--endpoint", action="append", dest="endpoints", help="only this one")
    parser.add_argument("--model", action="append", dest="models", help="only this, or a prefix*")
    parser.add_argument("--network", action="append", dest="networks", help="only from this CIDR")
    parser.add_argument("--label", action="append", dest="labels", metavar="NAME=VALUE")
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--expires", metavar="DATE", help="last day (UTC), such as 2027-01-31")
    ends.add_argument("--ttl", type=duration, metavar="TIME", help="such as 90d, 12h, 30m, 45s")
