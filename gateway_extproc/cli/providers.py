"""``providers``: how targets stand on this host, and taking them out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from gateway_extproc.cli.adminlog import login, tell_admin_log
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.files import config_file, read_file
from gateway_extproc.cli.tables import table
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.standings import Targets
from gateway_extproc.supervisor.calls import TargetUnknown

Figures = Sequence[Mapping[str, Any]]


def list_command(options: argparse.Namespace) -> int:
    """Every target, one a line."""
    return _run(options, lambda targets: targets.all())


def drain_command(options: argparse.Namespace) -> int:
    """Takes a target or a provider out; running workers know within a second."""
    return _run(
        options, lambda targets: targets.drain(options.name, options.seconds, login()), "drain"
    )


def undrain_command(options: argparse.Namespace) -> int:
    """Lets it serve again."""
    return _run(options, lambda targets: targets.undrain(options.name, login()), "undrain")


def _run(options: argparse.Namespace, work: Callable[[Targets], Figures], verb: str = "") -> int:
    config, _ = read_file(config_file(options.config))
    try:
        figures = work(Targets(config))
    except (StoreUnavailable, TargetUnknown) as error:
        raise CommandFailure(str(error.args[0])) from None
    if verb:
        tell_admin_log(config, f"providers {verb} {options.name}", "change_routes")
    if options.json:
        for one in figures:
            print(orjson.dumps(one).decode())
    else:
        print(
            table(
                ("target", "circuit", "share", "why", "p50 ms", "p95 ms", "quota"),
                map(_row, figures),
            )
        )
    return 0


def _row(one: Mapping[str, Any]) -> tuple[Any, ...]:
    why = one.get("why", "")
    if "drained_s" in one:
        why = f"{why}, {one['drained_s']:.0f} s more"
    elif "rests_s" in one:
        why = f"{why}, {one['rests_s']:.0f} s more"
    left = min((quota["left"] for quota in one.get("quotas", ())), default=None)
    return (
        one["target"],
        one["circuit"],
        f"{one['share']:.0%}",
        why,
        *(f"{one[name]:.0f}" if name in one else "" for name in ("p50_ms", "p95_ms")),
        "" if left is None else f"{left:.0%}",
    )
