"""Arguments of ``costs``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from gateway_extproc.cli.adminargs import add_admin
from gateway_extproc.cli.asking import add_place, add_times, positive
from gateway_extproc.cli.common import AddCommand, Commands, run_in

SERIES: Final = (
    "tenant", "user", "application", "key", "endpoint", "route", "model", "provider", "outcome",
)  # fmt: skip
"""What costs can be told apart by, beside labels."""


def add_commands(commands: Commands, add: AddCommand) -> None:
    """``costs`` and what stands behind it."""
    report = _asking(commands, add, "report", "what was used and what it cost")
    add_admin(report)
    _add_by(report, "tenant")
    report.add_argument("--format", choices=("table", "json", "csv", "parquet"), default="table")
    report.add_argument("-o", "--output", type=Path, metavar="FILE",
                        help="standard output if not given; parquet needs one")  # fmt: skip

    budgets = _asking(commands, add, "budgets", "how far budgets are used, and where that leads",
                      times=False)  # fmt: skip
    budgets.add_argument("--budget", default="", metavar="ID", help="only this one")
    _add_json(budgets)

    forecast = _asking(commands, add, "forecast", "what this month will have cost", times=False)
    _add_by(forecast, "tenant")
    _add_json(forecast)

    what_if = _asking(commands, add, "what-if", "what the same tokens cost by other prices")
    what_if.add_argument("--prices", type=Path, required=True, metavar="FILE",
                         help="a configuration, or a file with its section 'prices' only"
                         )  # fmt: skip
    _add_by(what_if, "tenant")
    _add_json(what_if)

    movers = _asking(commands, add, "movers", "whose costs changed most since the time before")
    _add_by(movers, "tenant,model")
    movers.add_argument("-n", "--limit", type=positive, default=10, metavar="N",
                        help="the first N (10)")  # fmt: skip
    _add_json(movers)

    anomalies = _asking(commands, add, "anomalies", "hours that cost far more than is usual")
    _add_by(anomalies, "tenant,application")
    anomalies.add_argument("--threshold", type=_above_zero, default=6.0, metavar="X",
                           help="robust deviations above the median (6)")  # fmt: skip
    _add_json(anomalies)


def _asking(
    commands: Commands, add: AddCommand, name: str, text: str, *, times: bool = True
) -> argparse.ArgumentParser:
    parser = add(commands, name, text)
    add_place(parser)
    if times:
        add_times(parser)
    for only in ("tenant", "application", "user", "key"):
        parser.add_argument(f"--{only}", default="", metavar="NAME",
                            help=f"only this {only}'s")  # fmt: skip
    parser.set_defaults(run=run_in("costs", name.replace("-", "_")))
    return parser


def _add_by(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--by", type=series, default=series(default), metavar="NAMES",
        help=f"{', '.join(SERIES)}, label:NAME; several with commas ({default})",
    )  # fmt: skip


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")


def series(text: str) -> tuple[str, ...]:
    """The names in a list with commas; raises ``ArgumentTypeError``."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in SERIES and not (name.startswith("label:") and name != "label:"):
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SERIES)}, label:NAME")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} names something twice")
    return names


def _above_zero(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise ValueError(text)
    return number
