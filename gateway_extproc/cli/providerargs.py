"""Arguments of ``providers``."""

from __future__ import annotations

from gateway_extproc.cli.common import (
    AddCommand,
    Commands,
    add_config_option,
    duration,
    run_in,
)


def add_commands(commands: Commands, add: AddCommand) -> None:
    """``providers`` and what stands behind it."""
    for name, text in (
        ("list", "how every target stands: circuit, share, latency, quotas"),
        ("drain", "send no requests to a target, or to any of a provider, while others can serve"),
        ("undrain", "end that"),
    ):
        parser = add(commands, name, text)
        add_config_option(parser)
        parser.add_argument("--json", action="store_true", help="a JSON object a target")
        parser.set_defaults(run=run_in("providers", f"{name}_command"))
        if name == "list":
            continue
        parser.add_argument("name", help="a target as 'list' shows it, or a provider's id")
        if name == "drain":
            parser.add_argument(
                "--for", type=duration, metavar="TIME", dest="seconds",
                help="such as 30m; until it is undrained, if not given",
            )  # fmt: skip
