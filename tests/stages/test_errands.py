"""What nobody waits for: bounded, and done even when who started it is cancelled."""

from __future__ import annotations

import asyncio

from gateway_extproc.stages.errands import Errands


async def test_errands_are_done_behind_their_starter() -> None:
    errands, done = Errands(2), list[int]()

    async def errand(number: int) -> None:
        await asyncio.sleep(0.01)
        done.append(number)

    assert [errands.start(errand(number)) for number in range(3)] == [True, True, False]
    await errands.done()
    assert done == [0, 1]
    assert errands.start(errand(3))
    await errands.done()
    assert done == [0, 1, 3]


async def test_who_is_cancelled_takes_no_errand_along() -> None:
    errands, done = Errands(2), list[int]()

    async def errand() -> None:
        await asyncio.sleep(0.01)
        done.append(1)

    async def starter() -> None:
        errands.start(errand())
        await asyncio.sleep(10)

    task = asyncio.create_task(starter())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await errands.done()
    assert done == [1]


async def test_an_errand_that_fails_is_over() -> None:
    errands = Errands(1)

    async def fails() -> None:
        raise ValueError

    errands.start(fails())
    await errands.done()

    async def works() -> None:
        """Nothing to do."""

    assert errands.start(works())
    await errands.done()
