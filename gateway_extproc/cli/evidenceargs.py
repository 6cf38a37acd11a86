"""Arguments of ``evidence``."""

from __future__ import annotations

from pathlib import Path

from gateway_extproc.cli.common import AddCommand, Commands, run_in


def add_commands(commands: Commands, add: AddCommand) -> None:
    """``evidence`` and what stands behind it."""
    keygen = add(commands, "keygen", "make a reviewer's key; prints its public half")
    keygen.add_argument(
        "--out", type=Path, required=True, metavar="FILE",
        help="a new file for the private half; only its owner may read it",
    )  # fmt: skip
    keygen.set_defaults(run=run_in("evidence", "keygen"))

    reveal = add(commands, "open", "print the texts that are kept of a decision")
    reveal.add_argument("id", metavar="ID", help="the decision's id, or the request's id")
    reveal.add_argument(
        "--identity", type=Path, required=True, metavar="KEYFILE", help="as 'keygen' wrote it"
    )
    reveal.add_argument(
        "--evidence", type=Path, default=Path("run/evidence"), metavar="DIR",
        help="the folder 'evidence.dir', or a copy of it (run/evidence)",
    )  # fmt: skip
    reveal.set_defaults(run=run_in("evidence", "reveal"))
