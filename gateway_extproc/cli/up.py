"""``up``: everything on one machine — Envoy, the workers, and simulators for the demo."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from gateway_extproc.app import read_config, worker_count
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.keys import issue_key
from gateway_extproc.cli.processes import (
    Child,
    ensure_free,
    envoy_binary,
    find_free_port,
    wait_http,
    wait_port,
)
from gateway_extproc.cli.serve import Supervisor
from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.config.model import Config
from gateway_extproc.envoyconf.render import render
from gateway_extproc.identities import state_dir
from gateway_extproc.limiters import limits_table
from gateway_extproc.stores.secrets import read_secret

PORT_VARIABLES = {
    "listen": "GATEWAY_PORT",
    "admin": "GATEWAY_ADMIN_PORT",
    "envoy_admin": "ENVOY_ADMIN_PORT",
}
DRAIN_S = 2.0
"""Grace of Ctrl-C: a person waits for the prompt."""


@dataclass(slots=True)
class Demo:
    """What ``up`` made for the demo: keys to show, addresses of the simulators."""

    key: str
    trial_key: str
    admin_key: str
    openai_port: int
    anthropic_port: int
    secrets_dir: Path


@dataclass(slots=True)
class Stack:
    """All that ``up`` started, outermost last."""

    config: Config
    run_dir: Path
    supervisor: Supervisor
    demo: Demo | None = None
    own_redis: str | None = None
    """The server binary to start, if this command starts one."""
    children: list[Child] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        listen = self.config.server.listen
        scheme = "http" if self.config.server.tls is None else "https"
        return f"{scheme}://{listen.address}:{listen.port}"

    async def start(self) -> None:
        """Simulators, workers, Envoy; each ready before the next starts."""
        if self.demo is not None:
            # Counts of an earlier demo belong to keys that are gone.
            limits_table(self.config).unlink(missing_ok=True)
            shutil.rmtree(state_dir(self.config), ignore_errors=True)
            await self._start_simulators(self.demo)
        await self._start_redis()
        await self.supervisor.start()
        await self._start_envoy()

    async def stop(self) -> None:
        """In reverse: nobody new comes in, then the workers finish."""
        for child in reversed(self.children):
            if child.name == "envoy":
                await child.stop()
        await self.supervisor.stop(DRAIN_S)
        for child in reversed(self.children):
            await child.stop()

    async def watch(self) -> str:
        """Returns the name of the first child that ends by itself."""
        waits = {asyncio.create_task(c.process.wait()): c.name for c in self.children}
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return waits[next(iter(done))]

    async def _start_redis(self) -> None:
        """A Redis of our own, where ``STORE=redis`` asks for one and nobody else's is named."""
        section = self.config.store.redis
        if self.own_redis is None or section is None:
            return
        folder = self.run_dir / "redis"
        folder.mkdir(exist_ok=True)
        command = [
            self.own_redis, "--bind", section.address.address, "--port",
            str(section.address.port), "--maxmemory-policy", "noeviction",
            "--appendonly", "yes", "--dir", str(folder),
        ]  # fmt: skip
        child = await Child.start("redis", command, self.run_dir / "redis.log")
        self.children.insert(0, child)
        await wait_port(section.address.address, section.address.port, child, 10)

    async def _start_simulators(self, demo: Demo) -> None:
        command = [
            sys.executable, "-m", "gateway_simulators",
            "--openai", f"127.0.0.1:{demo.openai_port}",
            "--anthropic", f"127.0.0.1:{demo.anthropic_port}",
            "--openai-key-file", str(demo.secrets_dir / "openai"),
            "--anthropic-key-file", str(demo.secrets_dir / "anthropic"),
        ]  # fmt: skip
        child = await Child.start("simulators", command, self.run_dir / "simulators.log")
        self.children.append(child)
        url = f"http://127.0.0.1:{demo.anthropic_port}/_simulator/requests"
        await wait_http(url, child, 10)

    async def _start_envoy(self) -> None:
        file = self.run_dir / "envoy.yaml"
        workers = worker_count(self.config)
        file.write_text(render(self.config, workers))
        command = [
            str(envoy_binary()), "-c", str(file), "--concurrency", str(workers),
            "--disable-hot-restart", "--log-level", "warning",
        ]  # fmt: skip
        child = await Child.start("envoy", command, self.run_dir / "envoy.log")
        self.children.append(child)
        admin = self.config.server.envoy_admin
        await wait_http(f"http://{admin.address}:{admin.port}/ready", child, 20)


def ports_from(environment: dict[str, str]) -> dict[str, int]:
    """The ports that the environment chooses; raises ``CommandFailure`` for a bad one."""
    ports = {}
    for section, variable in PORT_VARIABLES.items():
        value = environment.get(variable)
        if value is None or value == "":
            continue
        if not value.isdecimal() or not 1 <= int(value) <= 65535:
            raise CommandFailure(f"{variable}={value} is not a port number")
        ports[section] = int(value)
    return ports


def store_from(environment: Mapping[str, str], run_dir: Path) -> tuple[str | None, dict[str, Any]]:
    """What ``STORE`` and ``REDIS_URL`` choose: a server to start, and the section ``store``.

    ``STORE=redis`` starts a redis-server, ``REDIS_URL=redis://[user:password@]host[:port]`` (or
    ``rediss`` for TLS) names one that is there.  Raises ``CommandFailure``.
    """
    kind, url = environment.get("STORE", ""), environment.get("REDIS_URL", "")
    if kind not in ("", "memory", "redis"):
        raise CommandFailure(f"STORE={kind} is neither memory nor redis")
    if kind == "memory" or not (kind or url):
        return None, {"kind": "memory"} if kind else {}
    if url:
        return None, {"kind": "redis", "redis": _redis_section(url, run_dir)}
    binary = shutil.which("redis-server")
    if binary is None:
        raise CommandFailure(
            "STORE=redis needs redis-server (apt install redis-server) or REDIS_URL"
        )
    address = {"address": "127.0.0.1", "port": find_free_port()}
    return binary, {"kind": "redis", "redis": {"address": address}}


def _redis_section(url: str, run_dir: Path) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError as error:
        raise CommandFailure(f"REDIS_URL: {error}") from None
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise CommandFailure("REDIS_URL is not redis://[user:password@]host[:port]")
    if parts.path not in ("", "/", "/0"):
        raise CommandFailure("REDIS_URL names a database; only 0 is used")
    section: dict[str, Any] = {"address": {"address": parts.hostname, "port": port}}
    if parts.scheme == "rediss":
        section["tls"] = True
    if parts.username:
        section["username"] = unquote(parts.username)
    if parts.password:
        file = run_dir / "secrets" / "redis"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_private(file, unquote(parts.password))
        section["password_file"] = str(file)
    return section


def with_ports(document: dict[str, Any], ports: dict[str, int]) -> dict[str, Any]:
    """A configuration document with other ports."""
    server = dict(document.get("server") or {})
    for section, port in ports.items():
        server[section] = {**(server.get(section) or {}), "port": port}
    return {**document, "server": server}


def make_demo(run_dir: Path, ports: dict[str, int]) -> tuple[str, Demo]:
    """Fresh keys and secrets, and the demo's configuration as text.

    Nothing secret is in the project: all of it is made here, at every start.
    """
    template = resources.files("gateway_extproc.cli").joinpath("demo.yaml").read_text()
    document = with_ports(yaml.safe_load(template), ports)
    secrets_dir = run_dir / "secrets"
    secrets_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("pepper", "openai", "anthropic"):
        _write_private(secrets_dir / name, secrets.token_urlsafe(32))
    pepper = read_secret(secrets_dir / "pepper")
    key, entry = issue_key(
        pepper, "demo", tenant="acme", user="demo", application="playground", roles=["developer"]
    )
    trial, trial_entry = issue_key(
        pepper, "demo", tenant="trial", user="visitor", application="playground", roles=["visitor"]
    )
    admin, admin_entry = issue_key(
        pepper, "demo", tenant="acme", user="operator", application="admin",
        roles=["platform-admin"],
    )  # fmt: skip
    demo = Demo(key, trial, admin, find_free_port(), find_free_port(), secrets_dir)
    document["server"]["socket_dir"] = str(run_dir)
    document["identity"]["pepper_file"] = str(secrets_dir / "pepper")
    document["evidence"]["dir"] = str(run_dir / "evidence")
    document["keys"] = [entry, trial_entry, admin_entry]
    for provider in document["providers"]:
        port = demo.openai_port if provider["id"] == "openai" else demo.anthropic_port
        provider["base_url"] = f"http://127.0.0.1:{port}/v1"
        provider["credential_file"] = str(secrets_dir / provider["id"])
    return yaml.safe_dump(document, sort_keys=False), demo


def write_demo_files(stack: Stack) -> None:
    """``gateway.yaml`` to read and change; ``demo.env`` to point any client at the gateway."""
    demo = stack.demo
    if demo is None:
        return
    lines = {
        "OPENAI_BASE_URL": f"{stack.base_url}/v1",
        "OPENAI_API_KEY": demo.key,
        "ANTHROPIC_BASE_URL": stack.base_url,
        "ANTHROPIC_API_KEY": demo.key,
        "GATEWAY_ADMIN_KEY": demo.admin_key,
    }
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    _write_private(stack.run_dir / "demo.env", text)


def prepare(config_file: Path | None, run_dir: Path) -> Stack:
    """Reads or makes the configuration and checks that its ports are free."""
    run_dir.mkdir(parents=True, exist_ok=True)
    ports = ports_from(dict(os.environ))
    own_redis, store = store_from(dict(os.environ), run_dir)
    demo: Demo | None = None
    if config_file is None:
        text, demo = make_demo(run_dir, ports)
        if store:
            document = yaml.safe_load(text)
            text = yaml.safe_dump({**document, "store": store}, sort_keys=False)
        try:
            config = read_config(text)
        except ConfigError as error:
            raise CommandFailure(f"--run-dir {run_dir}: {error}") from None
        _write_private(run_dir / "gateway.yaml", text)
    else:
        from gateway_extproc.cli.files import read_file

        config, text = read_file(config_file)
        if ports or store:
            document = with_ports(yaml.safe_load(text), ports)
            if store:
                document["store"] = store
            text = yaml.safe_dump(document, sort_keys=False)
            config = read_config(text)
    for section, variable in PORT_VARIABLES.items():
        listen = getattr(config.server, section)
        ensure_free(listen.address, listen.port, variable)
    return Stack(config, run_dir, Supervisor(config, text, config_file), demo, own_redis)


async def up(stack: Stack, work: Callable[[Stack], Awaitable[int]] | None = None) -> int:
    """Starts the stack, stays up until a signal (or until ``work`` is done), stops it.

    Returns the exit code: ``work``'s, or 0 for a stop that was asked for.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stack.supervisor.reload_on_hangup()
    try:
        await stack.start()
        write_demo_files(stack)
        if work is not None:
            return await work(stack)
        print(banner(stack), flush=True)
        ended = await _first(stop.wait(), stack.watch())
        if isinstance(ended, str):
            raise CommandFailure(f"{ended} ended by itself; see {stack.run_dir}/{ended}.log")
        print("\nstopping", flush=True)
        return 0
    finally:
        await stack.stop()


async def _first(*waits: Awaitable[Any]) -> Any:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return next(iter(done)).result()


def banner(stack: Stack) -> str:
    """What a person needs to send the first request."""
    server = stack.config.server
    store = stack.config.store
    counted = "one table of this host"
    if store.kind == "redis" and store.redis is not None:
        counted = f"Redis at {store.redis.address.address}:{store.redis.address.port}"
    lines = [
        f"gateway   {stack.base_url}",
        f"admin     http://{server.admin.address}:{server.admin.port}/metrics  /status",
        f"records   {stack.config.evidence.dir}/decisions-*.jsonl",
        f"envoy     {stack.run_dir}/envoy.yaml",
        f"limits    in {counted}",
    ]
    if stack.demo is not None:
        model = stack.config.models[0].model
        lines += [
            f"demo key  {stack.demo.key}",
            f"admin key {stack.demo.admin_key}",
            "",
            "Try it:",
            f"  curl {stack.base_url}/v1/chat/completions \\",
            f"    -H 'Authorization: Bearer {stack.demo.key}' \\",
            "    -H 'Content-Type: application/json' \\",
            f'    -d \'{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}\'',
            "",
            f"Point any OpenAI or Anthropic client at it:  set -a; . {stack.run_dir}/demo.env",
        ]
    return "\n".join([*lines, "", "Ctrl-C stops everything."])


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
