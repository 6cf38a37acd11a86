"""Frozen values that cost less to make: a request makes thirty of them, a chunk of a stream four.

The ``__init__`` of a frozen dataclass sets each field by name through ``object.__setattr__``; with
``slots`` each field has a setter of its own, which takes half as long.  All else, the refusal to
change a value included, stays as ``dataclass`` made it.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """Stands above ``@dataclass(frozen=True, slots=True)``; defaults may be values only."""
    names: dict[str, Any] = {}
    parameters, body = ["self"], []
    for field in fields(cls):  # type: ignore[arg-type]
        if field.default_factory is not MISSING or not field.init:
            raise TypeError(f"{cls.__name__}.{field.name} has no plain value as its default")
        names[f"set_{field.name}"] = cls.__dict__[field.name].__set__
        names[f"default_{field.name}"] = field.default
        has_default = field.default is not MISSING
        parameters.append(f"{field.name}=default_{field.name}" if has_default else field.name)
        body.append(f"    set_{field.name}(self, {field.name})")
    source = f"def __init__({', '.join(parameters)}):\n" + "\n".join(body)
    exec(source, names)  # noqa: S102 (as dataclass itself does: the names are those of our fields)
    names["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = names["__init__"]  # type: ignore[method-assign]
    return cls
