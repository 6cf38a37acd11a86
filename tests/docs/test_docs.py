"""The documentation says what the code does: names, links, the generated reference."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway_extproc.config.families import FAMILIES, Family
from gateway_extproc.config.reference import reference
from gateway_extproc.core.errors import REASONS
from gateway_extproc.stages.refusal import FINAL
from gateway_extproc.wire import fast_server, options
from gateway_extproc.wire.http2 import frames, limits
from gateway_extproc.wire.http2.states import RECEIVED

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CHANGELOG.md", ROOT / "README.md"])

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
ERROR_ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \| `(\w+)` \|.*\| ([^|]*) \|$", re.MULTILINE)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def error_rows() -> dict[str, tuple[int, str, str]]:
    rows = ERROR_ROW.findall((DOCS / "errors.md").read_text())
    assert len(rows) == len({row[0] for row in rows}), "a reason stands twice"
    return {reason: (int(status), kind, retry) for reason, status, kind, retry in rows}


def test_every_reason_is_documented_and_no_other() -> None:
    assert set(error_rows()) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_status_and_type_are_those_of_the_code(reason: str) -> None:
    status, kind, _ = error_rows()[reason]
    assert (status, kind) == REASONS[reason]


def test_never_stands_where_retrying_is_in_vain() -> None:
    assert {reason for reason, row in error_rows().items() if row[2] == "never"} == FINAL


def test_the_configuration_reference_is_not_stale() -> None:
    """Write it anew: python -m gateway_extproc.config.reference > docs/configuration.md"""
    assert (DOCS / "configuration.md").read_text() == reference()


def test_the_reference_names_every_section() -> None:
    headings = {place for title in HEADING.findall(reference()) for place in title.split(", ")}
    assert {"server", "caps", "keys", "guards", "models.targets", "prices.models"} <= headings


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    if not page.exists():
        pytest.skip("not written yet")
    for link in LINK.findall(CODE.sub("", prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_project_that_are_named_exist(page: Path) -> None:
    if not page.exists():
        pytest.skip("not written yet")
    named = re.findall(r"`((?:gateway_extproc|proto|docs|tests)/[\w./-]+)`", prose(page))
    rooms = re.findall(
        r"`((?:core|wire|stages|stores|routing|guards|envoyconf|config|evidence|supervisor)/\w+\.py)",
        prose(page),
    )
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [name for name in rooms if not (ROOT / "gateway_extproc" / name).exists()]
    assert not missing


def test_metrics_that_are_named_exist() -> None:
    source = (ROOT / "gateway_extproc/evidence/metrics.py").read_text()
    counters = re.findall(r"\bcounter\(\s*\"(\w+)\"", source)
    histograms = re.findall(r"\bhistogram\(\s*\"(\w+)\"", source)
    known = {f"gateway_{name}_total" for name in counters}
    known |= {f"gateway_{name}" for name in histograms}
    known |= set(re.findall(r"\bvalue\(\s*\"(\w+)\"", source))
    named = set(
        re.findall(r"\bgateway_\w+?_(?:total|seconds)\b", (DOCS / "runbook.md").read_text())
    )
    assert named
    assert named <= known


@pytest.mark.parametrize("name", ["life-of-a-request.md", "envoy.md"])
def test_functions_that_are_named_exist(name: str) -> None:
    """``file.py: name`` points at a definition in that file."""
    text = " ".join((DOCS / name).read_text().split())
    pointers = re.findall(r"`(\w+/\w+\.py|app\.py): (?:\w+\.)?(\w+)(?:\(\))?`", text)
    assert pointers or name == "envoy.md"
    for file, function in pointers:
        source = (ROOT / "gateway_extproc" / file).read_text()
        assert re.search(rf"\b{function}\b", source), f"{file}: {function}"


def test_the_limits_of_the_wire_are_those_of_the_code() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)`(?: \(`(.+?)`\))? \| ([\d.]+) \|",
        (ROOT / "docs/wire.md").read_text(),
        re.M,
    )
    modules = {
        "": limits,
        "wire/options.py": options,
        "wire/fast_server.py": fast_server,
    }
    for name, module, value in rows:
        assert float(value) == getattr(modules[module], name), name
    numbers = {name for name, value in vars(limits).items() if isinstance(value, int | float)}
    # Taken from the protocol, and told in its own section.
    assert numbers - {name for name, _, _ in rows} == {
        "DEFAULT_WINDOW",
        "MIN_FRAME_SIZE",
        "HEADER_TABLE_BYTES",
    }


def test_the_states_of_the_wire_are_those_of_the_code() -> None:
    page = (ROOT / "docs/wire.md").read_text()
    kinds = {
        "HEADERS": frames.HEADERS,
        "DATA": frames.DATA,
        "RST_STREAM": frames.RST_STREAM,
        "WINDOW_UPDATE": frames.WINDOW_UPDATE,
        "PRIORITY": frames.PRIORITY,
    }
    for state, row in RECEIVED.items():
        [line] = re.findall(rf"^\| {re.escape(state.value)} \|(.+)\|$", page, re.M)
        cells = [cell.strip().partition(":")[0] for cell in line.split("|")]
        for cell, kind in zip(cells, kinds.values(), strict=True):
            judged = row[kind]
            words = judged.act.replace("end ", "")
            assert cell == (f"{words} {judged.code.name}" if judged.code else words), state


def test_every_family_of_servers_stands_in_the_docs() -> None:
    """A row of docs/interfaces.md says what the table says."""
    page = (DOCS / "interfaces.md").read_text()
    for family in FAMILIES.values():
        assert family_row(family) in page


def family_row(family: Family) -> str:
    def words(names: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in names) or "–"

    asked = family.path + (f"?{family.query}" if family.query else "")
    renamed = [f"{old} → {new}" for old, new in family.renamed.items()]
    cells = (
        f"`{family.name}`", f"`{asked}`", f"`{family.credential_header}`", f"`{family.caps[0]}`",
        words((*renamed, *sorted(family.refused))), words(sorted(family.lacks)),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"
