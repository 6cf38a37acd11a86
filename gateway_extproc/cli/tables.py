"""Tables, money and times as a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway_extproc.core.money import NANOS_PER_DOLLAR


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Aligned columns, numbers to the right; empty values are shown as ``-``."""
    shown = [[_cell(value) for value in row] for row in rows]
    right = [
        any(row[i] != "-" for row in shown) and all(_is_number(row[i]) for row in shown)
        for i in range(len(heads))
    ]
    widths = [max(map(len, column)) for column in zip(heads, *shown, strict=True)]
    lines = [list(heads), ["-" * width for width in widths], *shown]
    return "\n".join(
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def indented(text: str) -> str:
    """The lines, two places to the right."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def printable(text: str) -> str:
    """A text that somebody else chose, without anything that moves a terminal's cursor."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def dollars(nanos: int) -> str:
    """Nano-dollars as dollars, exactly."""
    whole, rest = divmod(abs(nanos), NANOS_PER_DOLLAR)
    return f"{'-' if nanos < 0 else ''}${whole:,}.{rest:09d}"


def clock(time_us: int) -> str:
    """Microseconds since 1970 as a time in UTC, to the second."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else printable(str(value))
    return text or "-"


def _is_number(text: str) -> bool:
    return text == "-" or text.lstrip("-+$").replace(",", "").replace(".", "").rstrip("%").isdigit()
