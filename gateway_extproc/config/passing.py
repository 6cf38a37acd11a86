"""The section ``passthrough``: paths that go to a provider although nobody here can read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from gateway_extproc.config.base import PASSTHROUGH, Id, Section
from gateway_extproc.config.mistakes import Mistake, twice, unknown
from gateway_extproc.core.endpoint import REALTIME, is_own

if TYPE_CHECKING:
    from gateway_extproc.config.model import Config

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
PassedPath = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~@:+-]+)+(/\*)?$")]
BasePath = Annotated[str, StringConstraints(pattern=r"^((/[A-Za-z0-9._~-]+)+)?$")]


class Passthrough(Section):
    """Paths that are passed to one provider as they are, for roles that name
    ``passthrough:`` and the id in ``endpoints``.

    Callers are identified, limited by requests and recorded, and the provider's credential replaces
    theirs. Nothing of a body or an answer is read: no guard looks at it, no tokens are counted, no
    cost is known, and what a provider keeps is there for all tenants who may use the path.
    """

    id: Id
    """Names it in roles, limits and records: ``passthrough:`` and this."""
    provider: Id
    """Who gets the requests."""
    paths: Annotated[tuple[PassedPath, ...], Field(min_length=1)]
    """Exact paths, or prefixes that end in ``/*``. An interface that the gateway serves itself is
    never passed through."""
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("POST",)
    """Methods that are passed."""
    websockets: bool = False
    """Whether a GET of these paths may become a websocket, such as ``/v1/realtime``. Who opens it
    is identified, limited and recorded; what is said over it is not."""
    strip: BasePath = "/v1"
    """What the provider's base path stands for at the beginning of a path."""


def passthrough_mistakes(config: Config) -> Iterator[Mistake]:
    """Names that nothing defines, paths that are served anyway."""
    passed = config.passthrough
    yield from twice("passthrough", [item.id for item in passed])
    providers = {provider.id for provider in config.providers}
    for i, item in enumerate(passed):
        where = f"passthrough[{i}]"
        expected = "a provider of this file"
        yield from unknown(f"{where}.provider", [item.provider], providers, expected)
        if item.websockets and "GET" not in item.methods:
            yield Mistake(f"{where}.methods", ", ".join(item.methods), "GET among them")
        for path in item.paths:
            if is_own(path) or (path == REALTIME and not item.websockets):
                yield Mistake(f"{where}.paths", repr(path), "a path that is not the gateway's own")
            if item.strip and not path.startswith(f"{item.strip}/"):
                yield Mistake(f"{where}.paths", repr(path), f"a path that begins with {item.strip}")
    known = {f"{PASSTHROUGH}{item.id}" for item in passed}
    for place, names in _named(config):
        asked = [name for name in names if name.startswith(PASSTHROUGH)]
        yield from unknown(place, asked, known, "the id of a section in passthrough")


def _named(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where a configuration names endpoints that callers may use."""
    for i, role in enumerate(config.roles):
        yield f"roles[{i}].endpoints", role.endpoints
        for j, rule in enumerate(role.rules):
            yield f"roles[{i}].rules[{j}].endpoints", rule.endpoints
    for i, key in enumerate(config.keys):
        yield f"keys[{i}].endpoints", key.endpoints
    for section in ("limits", "budgets"):
        for i, scope in enumerate(getattr(config, section)):
            yield f"{section}[{i}].endpoints", scope.endpoints
