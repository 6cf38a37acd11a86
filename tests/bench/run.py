"""``make bench``: what the gateway costs beside a no-op ext_proc server.

One Envoy with two listeners that differ in one thing: which processor their
ext_proc filter calls.  The provider is a direct response of the same Envoy, so that
it is not the limit.  CPU is process time from the kernel divided by requests;
rounds alternate, and the ratio is taken within each round: on a shared
machine ratios count, absolute times do not.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bench.cpu import Meter
from bench.load import Report, build_request, load
from gateway_extproc.cli.keys import issue_key
from gateway_extproc.cli.processes import envoy_binary, find_free_port
from gateway_extproc.config.load import load as load_config
from gateway_extproc.core.names import PROCESSOR_CLUSTER
from gateway_extproc.core.secret import Secret
from gateway_extproc.envoyconf.render import bootstrap

HOST = "127.0.0.1"
NOOP = "noop-extproc"
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant",
        "content": "Paris is the capital of France and lies on the Seine. " * 2}}],
    "usage": {"prompt_tokens": 250, "completion_tokens": 26, "total_tokens": 276},
}  # fmt: skip
PROMPT = "The quick brown fox jumps over the lazy dog. " * 20


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement: CPU of the processor and of Envoy, per request."""

    processor_us: float
    envoy_us: float
    report: Report


@dataclass(frozen=True, slots=True)
class Bench:
    """The running processes and where to send what."""

    gateway_port: int
    noop_port: int
    worker_pid: int
    noop_pid: int
    envoy_pid: int
    key: str

    def round(self, which: str, connections: int, seconds: float) -> Round:
        port, pid = (
            (self.noop_port, self.noop_pid)
            if which == "noop"
            else (self.gateway_port, self.worker_pid)
        )
        with Meter([pid, self.envoy_pid]) as meter:
            report = load(HOST, port, _request(self.key), connections=connections, seconds=seconds)
        if report.non_2xx or report.errors:
            raise SystemExit(f"{which}: {report.non_2xx} refused, {report.errors} failed")
        per_request = meter.us_per(report.requests)
        return Round(per_request[pid], per_request[self.envoy_pid], report)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gwb-") as folder, running(Path(folder)) as bench:
        for which in ("noop", "gateway"):
            bench.round(which, options.connections, 1.0)  # warm up
        rounds = [
            {which: bench.round(which, options.connections, options.seconds)
             for which in ("noop", "gateway")}
            for _ in range(options.rounds)
        ]  # fmt: skip
    print(json.dumps(_summary(rounds)) if options.json else _table(rounds, options.connections))


def _summary(rounds: list[dict[str, Round]]) -> dict[str, Any]:
    ratios = [r["gateway"].processor_us / r["noop"].processor_us for r in rounds]
    rows = {
        which: {
            "cpu_us": round(statistics.median(r[which].processor_us for r in rounds), 1),
            "envoy_cpu_us": round(statistics.median(r[which].envoy_us for r in rounds), 1),
            "requests_per_s": round(
                statistics.median(r[which].report.requests_per_s for r in rounds)
            ),
            "p50_ms": round(statistics.median(r[which].report.p50_ms for r in rounds), 2),
            "p99_ms": round(statistics.median(r[which].report.p99_ms for r in rounds), 2),
        }
        for which in ("noop", "gateway")
    }
    spread = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    return {**rows, "ratio": {name: round(value, 3) for name, value in spread.items()}}


def _table(rounds: list[dict[str, Round]], connections: int) -> str:
    summary = _summary(rounds)
    names = {"noop": "(a) no-op ext_proc, grpc.aio", "gateway": "(b) gateway, all stages"}
    lines = [
        f"{len(rounds)} rounds, {connections} requests in flight, 1 KB chat, one worker each",
        f"{'':30}{'CPU us/req':>11}{'Envoy us/req':>14}{'req/s':>8}{'p50 ms':>8}{'p99 ms':>8}",
    ]
    for which, name in names.items():
        row = summary[which]
        lines.append(
            f"{name:30}{row['cpu_us']:>11}{row['envoy_cpu_us']:>14}"
            f"{row['requests_per_s']:>8}{row['p50_ms']:>8}{row['p99_ms']:>8}"
        )
    ratio = summary["ratio"]
    lines.append(f"ratio b/a  {ratio['median']}  ({ratio['min']} to {ratio['max']})")
    return "\n".join(lines)


def _request(key: str) -> bytes:
    body = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": PROMPT},
        ],
    }
    headers = (("authorization", f"Bearer {key}"), ("content-type", "application/json"))
    return build_request("POST", "/v1/chat/completions", HOST, headers, json.dumps(body).encode())


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Bench]:
    """Envoy, one gateway worker and one no-op server; all ended by their ids."""
    document, key = _document(folder)
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(document))
    ports = {name: find_free_port() for name in ("noop", "provider")}
    document["providers"][0]["base_url"] = f"http://{HOST}:{ports['provider']}/v1"
    document["models"][0]["targets"] = document["models"][0]["targets"][:1]
    file.write_text(yaml.safe_dump(document))
    envoy_file = folder / "envoy.yaml"
    envoy_file.write_text(yaml.safe_dump(_envoy(document, folder, ports)))
    python = sys.executable
    commands = {
        "gateway": [python, "-m", "gateway_extproc.cli.main", "serve", "--config", str(file)],
        "noop": [python, "-m", "bench.noop_server", str(folder / "noop.sock")],
        "envoy": [str(envoy_binary()), "-c", str(envoy_file), "--concurrency", "1",
                  "--disable-hot-restart", "--log-level", "error"],
    }  # fmt: skip
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            with (folder / f"{name}.log").open("wb") as output:
                processes[name] = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        server = document["server"]
        status = _wait(f"http://{HOST}:{server['admin']['port']}/status", "workers", folder, key)
        _wait(f"http://{HOST}:{server['envoy_admin']['port']}/ready", None, folder)
        time.sleep(1.5)  # Envoy's first health checks
        yield Bench(
            gateway_port=server["listen"]["port"],
            noop_port=ports["noop"],
            worker_pid=status["workers"][0]["pid"],
            noop_pid=processes["noop"].pid,
            envoy_pid=processes["envoy"].pid,
            key=key,
        )
    finally:
        for process in reversed(processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            process.wait(timeout=30)


def _document(folder: Path) -> tuple[dict[str, Any], str]:
    template = resources.files("gateway_extproc.cli").joinpath("demo.yaml").read_text()
    document: dict[str, Any] = yaml.safe_load(template)
    pepper = secrets.token_hex(16)
    for name, text in (("pepper", pepper), ("openai", "sk-x"), ("anthropic", "sk-y")):
        (folder / name).write_text(text)
    key, entry = issue_key(
        Secret(pepper),
        "bench",
        tenant="acme",
        user="u",
        application="a",
        roles=["developer", "finops"],
    )
    document["keys"] = [entry]
    document["server"] = {
        "workers": 1, "socket_dir": str(folder), "drain_s": 1.0,
        **{name: {"port": find_free_port()} for name in ("listen", "admin", "envoy_admin")},
    }  # fmt: skip
    document["identity"]["pepper_file"] = str(folder / "pepper")
    document["evidence"]["dir"] = str(folder / "evidence")
    document["limits"][0]["requests"] = 10_000_000
    for provider in document["providers"]:
        provider["credential_file"] = str(folder / provider["id"])
    return document, key


def _envoy(document: dict[str, Any], folder: Path, ports: dict[str, int]) -> dict[str, Any]:
    """The gateway's own configuration, a twin of its listener, and a provider."""
    config = load_config(yaml.safe_dump(document))
    envoy = bootstrap(config, 1)
    static = envoy["static_resources"]
    twin = copy.deepcopy(static["listeners"][0])
    manager = _manager(twin)
    twin["name"] = "noop"
    twin["address"]["socket_address"]["port_value"] = ports["noop"]
    filters = manager["http_filters"]
    filters[0]["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] = NOOP
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    del route["inline_cluster_specifier_plugin"]
    route["cluster"] = "openai"
    cluster = next(c for c in static["clusters"] if c["name"] == PROCESSOR_CLUSTER)
    noop = copy.deepcopy(cluster)
    noop["name"] = noop["load_assignment"]["cluster_name"] = NOOP
    endpoint = noop["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["pipe"]["path"] = str(folder / "noop.sock")
    static["clusters"].append(noop)
    static["listeners"] += [twin, _provider(twin, ports["provider"])]
    for listener in static["listeners"]:
        _manager(listener).pop("access_log", None)
    return envoy


def _provider(twin: dict[str, Any], port: int) -> dict[str, Any]:
    listener = copy.deepcopy(twin)
    listener["name"] = "provider"
    listener["address"]["socket_address"]["port_value"] = port
    manager = _manager(listener)
    manager["http_filters"] = manager["http_filters"][-1:]
    manager.pop("local_reply_config")
    host = manager["route_config"]["virtual_hosts"][0]
    host["routes"] = [
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": json.dumps(ANSWER)}},
            "response_headers_to_add": [
                {
                    "header": {"key": "content-type", "value": "application/json"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
        }
    ]
    return listener


def _manager(listener: dict[str, Any]) -> dict[str, Any]:
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def _wait(url: str, field: str | None, folder: Path, key: str = "") -> Any:
    request = urllib.request.Request(url, headers={"x-api-key": key} if key else {})
    for _ in range(300):
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(request, timeout=1) as answer:
                body = answer.read()
            if field is None:
                return None
            document = json.loads(body)
            if document["ready"]:
                return document
        time.sleep(0.1)
    logs = "\n".join(file.read_text()[-2000:] for file in folder.glob("*.log"))
    raise SystemExit(f"{url} did not answer\n{logs}")


if __name__ == "__main__":
    main()
