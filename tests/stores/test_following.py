"""Tables that are followed: in turn, whatever one of them does."""

from __future__ import annotations

import asyncio

import pytest

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.stores import following
from gateway_extproc.stores.following import catch_up, follow


class Table:
    """Answers its looks from a list, the last one for ever."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.looks = 0

    def refresh(self) -> bool:
        self.looks += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FOLLOW_S", 0.005)


async def followed(*tables: Table) -> None:
    task = asyncio.create_task(follow(tables))
    await asyncio.sleep(0.2)
    assert not task.done(), "nothing may end it"
    task.cancel()


async def test_a_table_that_cannot_be_read_is_looked_at_again_and_hinders_no_other() -> None:
    broken, faulty = Table(StoreUnavailable("gone")), Table(ZeroDivisionError())
    good = Table(False)
    await followed(broken, faulty, good)
    assert min(broken.looks, faulty.looks, good.looks) > 5


async def test_all_pages_are_taken_at_one_look() -> None:
    table = Table(True, True, True, False)
    catch_up([table])
    assert table.looks == 4


async def test_a_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    await followed(Table(StoreUnavailable("gone")))
    told = [record for record in caplog.records if "gone" in record.message]
    assert len(told) == 1


async def test_a_table_without_end_leaves_others_their_turn() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await followed(Table(True))
    ticking.cancel()
    assert ticks > 100
