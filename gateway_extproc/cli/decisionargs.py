"""Arguments of ``decisions``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from gateway_extproc.cli.adminargs import add_admin
from gateway_extproc.cli.asking import add_place, add_times, positive
from gateway_extproc.cli.common import AddCommand, Commands, add_config_option, run_in

OUTCOMES: Final = ("allowed", "refused", "failed", "aborted", "interrupted")
FORMATS: Final = ("json", "csv", "ocsf", "parquet")
NAMES: Final = (
    ("tenant", "of this tenant"),
    ("user", "of this user"),
    ("key", "with this credential, by its id"),
    ("application", "of this application"),
    ("endpoint", "of this endpoint: chat, messages, models"),
    ("route", "served by this route"),
    ("model", "that asked for this model, or were answered by it"),
    ("provider", "answered by this provider"),
    ("rule", "in which this line of policy had a part"),
    ("reason", "refused for this reason"),
)


def add_commands(commands: Commands, add: AddCommand) -> None:
    """``decisions`` and what stands behind it."""
    add_verify(commands, add)
    tail = _asking(commands, add, "tail", "show decisions as they are made, until Ctrl-C")
    tail.add_argument("-n", "--limit", type=positive, default=10, metavar="N",
                      help="begin with the last N (10)")  # fmt: skip
    tail.add_argument("--no-follow", action="store_true", help="only show the last N")

    query = _asking(commands, add, "query", "list decisions, newest first")
    query.add_argument("-n", "--limit", type=positive, default=50, metavar="N",
                       help="at most N (50)")  # fmt: skip
    query.add_argument("--count", action="store_true", help="only say how many there are")

    show = add(commands, "show", "show all that is known of one decision")
    add_place(show)
    add_admin(show)
    show.add_argument("id", metavar="ID", help="the decision's id, or the request's id")
    show.add_argument("--json", action="store_true", help="the record as it stands in the log")
    show.set_defaults(run=run_in("decisions", "show"))

    export = _asking(commands, add, "export", "write decisions to a file, oldest first",
                     as_json=False)  # fmt: skip
    export.add_argument("--format", choices=FORMATS, default="json",
                        help="json (an array), csv, ocsf (API Activity events, one a line), "
                             "parquet")  # fmt: skip
    export.add_argument("-o", "--output", type=Path, metavar="FILE",
                        help="standard output if not given; parquet needs one")  # fmt: skip
    export.add_argument("-n", "--limit", type=positive, metavar="N", help="at most the first N")

    replay = _asking(commands, add, "replay", "what another policy would have decided")
    replay.add_argument("--policy", type=Path, required=True, metavar="FILE",
                        help="the configuration to try")  # fmt: skip
    replay.add_argument("--examples", type=positive, default=3, metavar="N",
                        help="name up to N decisions for each difference (3)")  # fmt: skip


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Which decisions are meant."""
    for name, what in NAMES:
        parser.add_argument(f"--{name}", default="", metavar="NAME", help=f"only those {what}")
    parser.add_argument("--outcome", "--verdict", choices=OUTCOMES, default="", dest="outcome",
                        help="only those that ended so")  # fmt: skip
    add_times(parser)


def _asking(
    commands: Commands, add: AddCommand, name: str, text: str, *, as_json: bool = True
) -> argparse.ArgumentParser:
    parser = add(commands, name, text)
    add_place(parser)
    if name != "replay":
        add_admin(parser)
    add_filters(parser)
    if as_json:
        parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.set_defaults(run=run_in("replay" if name == "replay" else "decisions", name))
    return parser


def add_verify(commands: Commands, add: AddCommand) -> None:
    """``decisions verify``."""
    verify = add(commands, "verify", "check that logs are as they were written")
    add_config_option(verify)
    verify.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="segments; all of a folder if none"
    )
    verify.add_argument(
        "--evidence", type=Path, metavar="DIR", help="their folder (the configuration's)"
    )
    verify.add_argument(
        "--checkpoints", type=Path, metavar="FILE",
        help="checkpoints that were kept elsewhere, such as a worker's output",
    )  # fmt: skip
    verify.add_argument(
        "--public-key", action="append", type=Path, metavar="FILE", dest="public_keys",
        help="a key that may have signed (PEM); may be given again",
    )  # fmt: skip
    verify.add_argument(
        "--archived", action="store_true", help="the logs' first segments were moved away"
    )
    verify.set_defaults(run=run_in("verify", "verify"))
