"""passing: which paths are somebody's, and whose."""

from __future__ import annotations

import pytest

from gateway_extproc.core.route import Target
from gateway_extproc.stages.passing import Passage, Passages

TARGET = Target("east", "openai", "", "east", "east:fallback", "/v1")
JOBS = Passage(
    "passthrough:jobs", TARGET, frozenset({"/v1/jobs"}), ("/v1/jobs/",),
    frozenset({"GET", "POST"}), "/v1",
)  # fmt: skip
ALL = Passage("passthrough:all", TARGET, frozenset(), ("/v1/",), frozenset({"GET"}), "/v1")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/jobs", "passthrough:jobs"),
        ("/v1/jobs?after=/../x", "passthrough:jobs"),
        ("/v1/jobs/a/b", "passthrough:jobs"),
        ("/v1/jobsandmore", "passthrough:all"),
        ("/v1/jobs/..", None),
        ("/v1/jobs/./a", None),
        ("/v1/jobs//a", None),
        ("/v1/jobs/", None),
        ("/v1/jobs/%2e%2e/a", None),
        ("/v1/jobs/a;b", None),
        ("/v1/jobs/a\\..\\b", None),
        ("/v2/jobs", None),
        ("v1/jobs", None),
        ("", None),
    ],
)
def test_a_path_is_the_first_section_that_takes_it_or_nobodys(path: str, name: str | None) -> None:
    found = Passages([JOBS, ALL]).find("GET", path)
    assert (found and found.name) == name
    assert found is None or (found.kind, found.dialect) == ("passed", "openai")


def test_another_method_is_not_the_endpoints() -> None:
    found = Passages([JOBS]).find("DELETE", "/v1/jobs")
    assert found is not None
    assert found.method == "GET, POST"
