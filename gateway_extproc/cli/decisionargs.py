"""Arguments of ``decisions``."""

from __future__ import annotations

from pathlib import Path

from gateway_extproc.cli.common import AddCommand, Commands, add_config_option, run_in


def add_commands(commands: Commands, add: AddCommand) -> None:
    """``decisions`` and what stands behind it."""
    add_verify(commands, add)


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
