"""From text to ``Config``, with every mistake of a file reported at once."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway_extproc.config.cachechecks import cache_mistakes
from gateway_extproc.config.condition import ConditionError, compile_condition
from gateway_extproc.config.evidencechecks import evidence_mistakes
from gateway_extproc.config.guardchecks import guard_mistakes
from gateway_extproc.config.limitchecks import limit_mistakes
from gateway_extproc.config.mistakes import ConfigError, Mistake, twice, unknown
from gateway_extproc.config.model import Config, Tenant, TenantsFile, WorkerTcp
from gateway_extproc.config.passing import passthrough_mistakes
from gateway_extproc.config.proofs import Issuer, Signer, Workload
from gateway_extproc.config.providerchecks import provider_mistakes
from gateway_extproc.config.roles import all_roles
from gateway_extproc.config.routingchecks import routing_mistakes
from gateway_extproc.core.names import NO_CLUSTER, PROCESSOR_CLUSTER

SOCKET_PATH_BYTES = 107
"""What Linux allows in the address of a Unix socket (unix(7)), less its end mark."""

TIMESTAMP = "tag:yaml.org,2002:timestamp"
MERGE = "tag:yaml.org,2002:merge"


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


def validation_mistakes(error: ValidationError) -> list[Mistake]:
    """What the model found wrong."""
    return list(_mistakes(error.errors()))


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
    for section in (
        "tenants",
        "roles",
        "keys",
        "limits",
        "budgets",
        "guards",
        "providers",
        "data_classes",
    ):
        yield from twice(section, [item.id for item in getattr(config, section)])
    yield from twice("models", [route.model for route in config.models], field="model")
    yield from twice("prices.models", [p.model for p in config.prices.models], field="model")

    folder = config.server.socket_dir
    if len(f"{folder}/worker-000.sock".encode()) > SOCKET_PATH_BYTES:
        yield Mistake(
            "server.socket_dir",
            _shown(folder),
            f"a folder whose sockets have paths of at most {SOCKET_PATH_BYTES} bytes",
        )
    if config.server.tcp is not None:
        yield from _unsafe_tcp(config.server.tcp)
    elsewhere = bool(config.identity.tenants_file)
    named = {tenant.id for tenant in config.tenants}
    if not named and not elsewhere:
        yield Mistake("tenants", "nothing", "at least one tenant, or identity.tenants_file")
    tenants = None if elsewhere or not named else named
    roles = set(all_roles(config.roles))
    for i, key in enumerate(config.keys):
        yield from unknown(f"keys[{i}].tenant", [key.tenant], tenants, "a tenant of this file")
        yield from unknown(
            f"keys[{i}].roles", key.roles, roles, "roles of this file, or shipped ones"
        )
    for section in ("limits", "budgets"):
        for i, scope in enumerate(getattr(config, section)):
            path = f"{section}[{i}].tenants"
            yield from unknown(path, scope.tenants, tenants, "tenants of this file")
    yield from _dangling_guards(config, tenants)
    yield from routing_mistakes(config, tenants)
    for i, provider in enumerate(config.providers):
        if provider.id in (NO_CLUSTER, PROCESSOR_CLUSTER):
            yield Mistake(
                f"providers[{i}].id", repr(provider.id), "a name that is not reserved for Envoy"
            )
    yield from _dangling_proofs(config, tenants, roles)
    yield from _bad_conditions(config)
    yield from _bad_abuse_rules(config)
    yield from provider_mistakes(config)
    yield from passthrough_mistakes(config)
    yield from limit_mistakes(config)
    yield from evidence_mistakes(config, tenants)
    yield from cache_mistakes(config, tenants)
    yield from tenant_mistakes(config.tenants, config)


def _dangling_guards(config: Config, tenants: set[str] | None) -> Iterator[Mistake]:
    """Whom guards name and nothing defines.  Keys may stand in another file."""
    routes = {route.model for route in config.models}
    classes = {name for provider in config.providers for name in provider.data_classes}
    for i, rule in enumerate(config.guards):
        named = [rule.data_class] if rule.data_class else []
        expected = "a class that some provider is approved for"
        yield from unknown(f"guards[{i}].data_class", named, classes, expected)
    for section in ("guards", "guard_packs", "guard_levels"):
        for i, scope in enumerate(getattr(config, section)):
            path = f"{section}[{i}]"
            yield from unknown(f"{path}.tenants", scope.tenants, tenants, "tenants of this file")
            yield from unknown(f"{path}.routes", scope.routes, routes, "models of this file")
    if config.mask_conversations is not None:
        named = list(config.mask_conversations.tenants)
        path = "mask_conversations.tenants"
        yield from unknown(path, named, tenants, "tenants of this file")
    yield from guard_mistakes(config)


def _dangling_proofs(
    config: Config, tenants: set[str] | None, roles: set[str]
) -> Iterator[Mistake]:
    """What tokens, signatures and certificates may prove, and nothing defines."""
    identity, tls = config.identity, config.server.tls
    sections: dict[str, Sequence[Issuer | Signer | Workload]] = {
        "identity.issuers": identity.issuers,
        "identity.signed.signers": identity.signed.signers,
        "identity.certificates.workloads": identity.certificates.workloads,
    }
    for section, items in sections.items():
        yield from twice(section, [item.id for item in items])
        for i, item in enumerate(items):
            path = f"{section}[{i}]"
            one = getattr(item, "tenant", None)
            named = [one] if one else [t for t in getattr(item, "tenants", ()) if "*" not in t]
            where = f"{path}.tenant" if one else f"{path}.tenants"
            yield from unknown(where, named, tenants, "tenants of this file")
            yield from unknown(
                f"{path}.roles", item.roles, roles, "roles of this file, or shipped ones"
            )
    yield from twice("identity.issuers", [i.issuer for i in identity.issuers], field="issuer")
    for i, issuer in enumerate(identity.issuers):
        path, claim = f"identity.issuers[{i}].claims.roles", issuer.claims.roles
        given = [*claim.default, *claim.map.values()]
        yield from unknown(path, given, set(issuer.roles), "roles that the issuer may give")
    if identity.signed.shared_by == "redis" and config.redis is None:
        yield Mistake("identity.signed.shared_by", "'redis'", "'host', or a section redis")
    if identity.certificates.workloads and (tls is None or not tls.client_ca_file):
        yield Mistake(
            "server.tls.client_ca_file", "nothing", "the authorities of the client certificates"
        )


def _bad_conditions(config: Config) -> Iterator[Mistake]:
    """Conditions that are none, rules that stand twice."""
    for i, role in enumerate(config.roles):
        yield from twice(f"roles[{i}].rules", [rule.id for rule in role.rules])
        texts = {f"roles[{i}].when": role.when}
        texts |= {f"roles[{i}].rules[{j}].when": rule.when for j, rule in enumerate(role.rules)}
        for path, text in texts.items():
            if text:
                try:
                    compile_condition(text)
                except ConditionError as error:
                    yield Mistake(path, _shown(text), f"a CEL condition ({error})")


def _bad_abuse_rules(config: Config) -> Iterator[Mistake]:
    yield from twice("identity.abuse", [rule.id for rule in config.identity.abuse])
    for i, rule in enumerate(config.identity.abuse):
        if rule.signal == "failures" and rule.action == "suspend":
            yield Mistake(
                f"identity.abuse[{i}].action", "'suspend'", "'alert' or 'throttle' for an address"
            )
        if rule.signal == "failures" and rule.tenants:
            yield Mistake(
                f"identity.abuse[{i}].tenants", "a list", "none: who failed has no tenant"
            )
        if rule.signal != "volume" and rule.factor:
            yield Mistake(f"identity.abuse[{i}].factor", str(rule.factor), "0, but for 'volume'")


def load_tenants(data: bytes, config: Config) -> tuple[Tenant, ...]:
    """The tenants in the file that ``identity.tenants_file`` names; raises ``ConfigError``."""
    try:
        file = TenantsFile.model_validate_json(data)
    except ValidationError as error:
        raise ConfigError(list(_mistakes(error.errors()))) from None
    names = [tenant.id for tenant in (*config.tenants, *file.tenants)]
    counts = Counter(names)
    mistakes = [
        Mistake(f"tenants[{i}].id", repr(tenant.id), "a name that stands only once")
        for i, tenant in enumerate(file.tenants)
        if counts[tenant.id] > 1
    ]
    mistakes += tenant_mistakes(file.tenants, config)
    if mistakes:
        raise ConfigError(mistakes)
    return file.tenants


def tenant_mistakes(tenants: Sequence[Tenant], config: Config) -> Iterator[Mistake]:
    """Data classes that no provider serves: such a tenant could send nothing."""
    classes = {name for provider in config.providers for name in provider.data_classes}
    expected = "a class that some provider is approved for"
    for i, tenant in enumerate(tenants):
        yield from unknown(f"tenants[{i}].data_class", [tenant.data_class], classes, expected)
        for j, application in enumerate(tenant.applications):
            path = f"tenants[{i}].applications[{j}].data_class"
            yield from unknown(path, [application.data_class], classes, expected)


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
