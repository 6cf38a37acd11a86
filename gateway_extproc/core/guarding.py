"""What guard rules may do, by name; the room ``guards`` and its configuration do it."""

from __future__ import annotations

from typing import Final, Literal, get_args

Action = Literal[
    "allow", "log", "annotate", "truncate", "sanitize", "redact", "mask", "route", "block"
]

SEVERITY: Final[dict[str, int]] = {name: rank for rank, name in enumerate(get_args(Action))}
"""Of several rules the most severe action wins; a lower level may only go up."""

PackName = Literal["baseline", "strict", "pii", "secrets", "regulated"]
PACKS: Final[tuple[PackName, ...]] = get_args(PackName)
