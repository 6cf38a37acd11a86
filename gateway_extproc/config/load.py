"""From text to ``Config``, with every mistake of a file reported at once."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway_extproc.config.model import Config, WorkerTcp
from gateway_extproc.core.names import NO_CLUSTER, PROCESSOR_CLUSTER

SOCKET_PATH_BYTES = 107
"""What Linux allows in the address of a Unix socket (unix(7)), less its end mark."""

TIMESTAMP = "tag:yaml.org,2002:timestamp"
MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a configuration: where, what stands there, what should."""

    path: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path}: got {self.value}; expected {self.expected}"


class ConfigError(ValueError):
    """A configuration with at least one mistake; ``mistakes`` holds all of them."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key may stand only once in a mapping, and dates stay texts.

    The model reads dates itself and says where a wrong one stands.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue
            key = str(self.construct_object(key_node, deep=True))
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(
                    [Mistake(f"line {line}", f"a second '{key}'", "each key once in a mapping")]
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Config:
    """The configuration in a YAML text; raises ``ConfigError`` with all its mistakes."""
    config, mistakes = load_with_mistakes(text)
    if mistakes:
        raise ConfigError(mistakes)
    return config


def load_with_mistakes(text: str) -> tuple[Config, list[Mistake]]:
    """A configuration of the right form, and what is wrong between its parts.

    For callers that know more to check; raises ``ConfigError`` where the form is wrong.
    """
    document = _parse(text)
    unfit = list(_unfit(document, (), frozenset()))
    if unfit:
        raise ConfigError(unfit)
    try:
        config = Config.model_validate_json(orjson.dumps(document))
    except ValidationError as error:
        raise ConfigError(list(_mistakes(error.errors()))) from None
    return config, list(_dangling(config))


def _parse(text: str) -> Any:
    try:
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError([Mistake(f"line {line}", str(error.problem), "readable YAML")]) from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError([Mistake("file", problem, "readable YAML")]) from None
    if not isinstance(document, dict):
        raise ConfigError([Mistake("file", type(document).__name__, "a mapping of sections")])
    return document


def _unfit(node: Any, path: tuple[str | int, ...], above: frozenset[int]) -> Iterator[Mistake]:
    """What YAML can say and JSON, the model's input, cannot."""
    if isinstance(node, dict | list):
        if id(node) in above:
            yield Mistake(_path(path), "an alias", "a value that does not hold itself")
            return
        above |= {id(node)}
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            if isinstance(node, dict) and not isinstance(key, str):
                yield Mistake(_path(path), f"the key {_shown(key)}", "keys that are text")
                continue
            yield from _unfit(value, (*path, key), above)
    elif isinstance(node, int) and not -(1 << 63) <= node < 1 << 64:
        yield Mistake(_path(path), _shown(node), "a number of at most 64 bits")
    elif not isinstance(node, str | int | float | bool | None):
        yield Mistake(_path(path), type(node).__name__, "text, a number, true, false or null")


def _mistakes(errors: Sequence[ErrorDetails]) -> Iterator[Mistake]:
    """One mistake an error, without those that only follow from another one.

    A list whose only item is wrong counts as empty, too.
    """
    places = [error["loc"] for error in errors]
    for error in errors:
        depth = len(error["loc"])
        follows = error["type"] == "too_short" and any(
            len(place) > depth and place[:depth] == error["loc"] for place in places
        )
        if not follows:
            yield _mistake(error)


def _mistake(detail: ErrorDetails) -> Mistake:
    value = "nothing" if detail["type"] == "missing" else _shown(detail["input"])
    expected = detail["msg"][:1].lower() + detail["msg"][1:]
    if detail["type"] == "extra_forbidden":
        expected = "no such field; see docs/configuration.md for the fields of this section"
    return Mistake(_path(detail["loc"]), value, expected)


def _path(location: Iterable[str | int]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "file"


def _shown(value: Any) -> str:
    """A value as a mistake shows it: short, and without a password in a URL."""
    text = re.sub(r"(://)[^/@\s]*@", r"\1***@", repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _dangling(config: Config) -> Iterator[Mistake]:
    """Names that nothing defines, names defined twice, rules without substance."""
    for section in ("tenants", "roles", "keys", "limits", "guards", "providers"):
        yield from _twice(section, [item.id for item in getattr(config, section)])
    yield from _twice("models", [route.model for route in config.models], field="model")
    yield from _twice("prices.models", [p.model for p in config.prices.models], field="model")

    folder = config.server.socket_dir
    if len(f"{folder}/worker-000.sock".encode()) > SOCKET_PATH_BYTES:
        yield Mistake(
            "server.socket_dir",
            _shown(folder),
            f"a folder whose sockets have paths of at most {SOCKET_PATH_BYTES} bytes",
        )
    if config.server.tcp is not None:
        yield from _unsafe_tcp(config.server.tcp)
    tenants = {tenant.id for tenant in config.tenants}
    roles = {role.id for role in config.roles}
    providers = {provider.id for provider in config.providers}
    for i, key in enumerate(config.keys):
        yield from _unknown(f"keys[{i}].tenant", [key.tenant], tenants, "a tenant of this file")
        yield from _unknown(f"keys[{i}].roles", key.roles, roles, "roles of this file")
    for i, limit in enumerate(config.limits):
        yield from _unknown(f"limits[{i}].tenants", limit.tenants, tenants, "tenants of this file")
    for i, rule in enumerate(config.guards):
        yield from _unknown(f"guards[{i}].tenants", rule.tenants, tenants, "tenants of this file")
        if rule.kind == "pattern" and not rule.patterns:
            yield Mistake(f"guards[{i}].patterns", "nothing", "at least one pattern")
        if rule.kind in ("pii", "secret") and not rule.entities:
            yield Mistake(f"guards[{i}].entities", "nothing", "at least one entity")
    for i, route in enumerate(config.models):
        yield from _unknown(
            f"models[{i}].targets",
            [target.provider for target in route.targets],
            providers,
            "providers of this file",
        )
    for i, provider in enumerate(config.providers):
        if provider.id in (NO_CLUSTER, PROCESSOR_CLUSTER):
            yield Mistake(
                f"providers[{i}].id", repr(provider.id), "a name that is not reserved for Envoy"
            )
    classes = {name for provider in config.providers for name in provider.data_classes}
    for i, tenant in enumerate(config.tenants):
        yield from _unknown(
            f"tenants[{i}].data_class",
            [tenant.data_class],
            classes,
            "a class that some provider is approved for",
        )


def _unsafe_tcp(tcp: WorkerTcp) -> Iterator[Mistake]:
    """Whoever reaches a worker is given what Envoy is: prompts, and providers' credentials."""
    try:
        loopback = ipaddress.ip_address(tcp.address).is_loopback
    except ValueError:
        yield Mistake("server.tcp.address", repr(tcp.address), "an IP address")
        return
    if tcp.tls is None:
        if not loopback:
            yield Mistake("server.tcp.tls", "nothing", "TLS, or a loopback address")
        return
    client = ("client_ca_file", "client_cert_file", "client_key_file")
    missing = [name for name in client if getattr(tcp.tls, name) is None]
    if missing and (not loopback or len(missing) < len(client)):
        expected = "all three client files" + (", or none of them" if loopback else "")
        for name in missing:
            yield Mistake(f"server.tcp.tls.{name}", "nothing", expected)


def _twice(section: str, names: Sequence[str], field: str = "id") -> Iterator[Mistake]:
    counts = Counter(names)
    for i, name in enumerate(names):
        if counts[name] > 1:
            yield Mistake(f"{section}[{i}].{field}", repr(name), "a name that stands only once")


def _unknown(path: str, names: Iterable[str], known: set[str], expected: str) -> Iterator[Mistake]:
    for name in names:
        if name not in known:
            yield Mistake(path, repr(name), f"{expected} ({', '.join(sorted(known)) or 'none'})")
