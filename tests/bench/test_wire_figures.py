"""The figures of the wire hold; ``make wire-figures`` prints them in full."""

from __future__ import annotations

from pathlib import Path

from bench.wire_figures import KB, memory_per_stream, soak
from support.wires import child_server


async def test_a_stream_that_waits_holds_little(tmp_path: Path) -> None:
    """15 KB is what a stream may cost; here with a tenth of the streams."""
    with child_server("fast", f"unix:{tmp_path}/wire.sock") as child:
        held = await memory_per_stream(child, 1_000)
    print(f"{held / KB:.1f} KB a stream")
    assert held < 15 * KB


async def test_a_server_that_served_everything_keeps_nothing(tmp_path: Path) -> None:
    with child_server("fast", f"unix:{tmp_path}/wire.sock") as child:
        megabytes, descriptors = await soak(child, 6.0)
    assert max(megabytes[5:]) < 1.25 * max(megabytes[:5])
    assert descriptors[-1] <= descriptors[0]
