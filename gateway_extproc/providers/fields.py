"""Which fields of a document a translation understands; every other one is refused.

A silent loss changes what a client asked for.  So a field passes a translation
only if it is translated, has no effect on the answer, or holds the value that it
would have anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway_extproc.core.chat import Document, Path
from gateway_extproc.core.errors import RequestError, unsupported
from gateway_extproc.providers.checks import name_of


def refuse_unknown(
    document: Document,
    path: Path,
    target: str,
    *,
    known: Collection[str],
    neutral: Mapping[str, tuple[Any, ...]] | None = None,
) -> None:
    """Raises for the first field that is neither known, nor null, nor at a neutral value."""
    if type(known) is frozenset and document.keys() <= known:
        return  # nearly always
    for key, value in document.items():
        if key in known or value is None:
            continue
        if neutral is None or not any(_same(value, one) for one in neutral.get(key, ())):
            raise cannot((*path, key), target)


def _same(value: Any, neutral: Any) -> bool:
    """Equal, where a boolean is not the number that Python takes it for."""
    return bool(value == neutral) and isinstance(value, bool) == isinstance(neutral, bool)


def cannot(path: Path, target: str) -> RequestError:
    """The refusal of the field at ``path``."""
    return unsupported(name_of(path), target)
