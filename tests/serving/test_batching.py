"""The queue: batches form while another is computed, bounds hold, and one bad item harms no other."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mixlingua.serving.batching import MicroBatcher, OverloadError


class Computation:
    """Doubles numbers, once it may; keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may = threading.Event()
        self.may.set()

    def __call__(self, items):
        assert self.may.wait(10)
        self.batches.append(list(items))
        if -1 in items:
            raise ValueError("bad item")
        return [2 * item for item in items]


def run(scenario, **settings):
    computation = Computation()

    async def within() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = MicroBatcher(computation, executor, **{"max_batch": 4, "max_waiting": 8, **settings})
            await scenario(batcher, computation)

    asyncio.run(within())
    return computation.batches


def test_what_arrives_while_a_batch_is_computed_is_the_next_batch():
    async def scenario(batcher, computation):
        computation.may.clear()
        first = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher(number)) for number in range(1, 7)]
        await asyncio.sleep(0.05)
        computation.may.set()
        assert await asyncio.gather(first, *others) == [2 * number for number in range(7)]

    assert run(scenario) == [[0], [1, 2, 3, 4], [5, 6]]


def test_more_than_may_wait_is_refused_at_once_and_the_rest_is_answered():
    async def scenario(batcher, computation):
        computation.may.clear()
        running = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(batcher(number)) for number in range(8)]
        await asyncio.sleep(0.05)
        assert batcher.waiting == 8
        with pytest.raises(OverloadError, match="try again in"):
            await batcher(9)
        with pytest.raises(OverloadError):
            await batcher.all([10, 11])
        computation.may.set()
        await asyncio.gather(running, *waiting)
        assert await batcher(3) == 6

    assert [9] not in run(scenario)


def test_a_bad_item_fails_alone():
    async def scenario(batcher, computation):
        computation.may.clear()
        first = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.05)
        tasks = [asyncio.create_task(batcher(number)) for number in (1, -1, 2)]
        await asyncio.sleep(0.05)
        computation.may.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert [results[0], results[1], results[3]] == [0, 2, 4]
        assert isinstance(results[2], ValueError)

    run(scenario)


def test_who_gives_up_is_not_computed():
    async def scenario(batcher, computation):
        computation.may.clear()
        first = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await batcher(7)
        computation.may.set()
        await first
        assert await batcher(1) == 2

    assert run(scenario) == [[0], [1]]
