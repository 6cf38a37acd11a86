"""What may be done once is done once, whichever worker comes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores.once import OnceFiles


def test_one_of_many_is_first_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "billed"
    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(lambda _: OnceFiles(folder).take("openai/batch_1"), range(64)))
    assert firsts.count(True) == 1
    assert not OnceFiles(folder).take("openai/batch_1")
    assert OnceFiles(folder).take("openai/../../batch_2")
    assert len(list(folder.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        OnceFiles(tmp_path / "file" / "billed").take("x")
