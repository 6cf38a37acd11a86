"""One short run through the real Envoy: every row, every workload, real figures."""

from __future__ import annotations

import json

import pytest

from bench.figures import ROWS
from bench.run import main
from bench.stand import MESSAGES_BEFORE_BODY
from bench.workloads import WORKLOADS

pytestmark = pytest.mark.envoy


def test_all_rows_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("chat-16", "large-16", "stream-16")
    main(["--rounds", "1", "--seconds", "0.3", "--workloads", ",".join(names), "--json"])
    workloads = json.loads(capsys.readouterr().out)["workloads"]
    assert tuple(workloads) == names
    for workload in (w for w in WORKLOADS if w.id in names):
        found = workloads[workload.id]
        assert list(found["rows"]) == list(ROWS)
        assert all(spread["median"] > 0 for spread in found["cpu_ratios"].values())
        for row, figures in found["rows"].items():
            messages = figures["messages"]["median"]
            if row == "plain":
                assert (messages, figures["us_per_unit"].get("processor")) == (0, None)
            elif workload.chunks:
                assert messages > MESSAGES_BEFORE_BODY + workload.chunks / 2
            else:
                assert messages == MESSAGES_BEFORE_BODY + 1


@pytest.mark.parametrize("arguments", [["--rows", "plain,nope"], ["--workloads", ""]])
def test_an_unknown_name_is_a_mistake(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
