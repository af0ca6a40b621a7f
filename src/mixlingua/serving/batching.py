"""Requests that arrive while a batch is computed wait, and are the next batch: nobody waits where nothing else is done.

The queue has a bound. What does not fit is refused at once, since an answer that comes too late helps nobody.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class OverloadError(Exception):
    """The queue has no room. Try again in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too much to do; try again in {seconds:.0f} s")
        self.seconds = seconds


class MicroBatcher(Generic[Item, Answer]):
    """Answers items one by one, and computes them together in another thread."""

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Answer]],
        executor: Executor,
        *,
        max_batch: int,
        max_waiting: int,
        observe: Callable[[int, int, float], None] = lambda size, waiting, seconds: None,
    ) -> None:
        """compute: answers of items, in their order; it runs in the executor. max_batch: items that are computed
        together. max_waiting: items that wait. observe: told of each batch: its size, who waits, how long it took."""
        self._compute, self._executor, self._observe = compute, executor, observe
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._seconds_an_item = 0.01  # a moving average, for those who are told to come again

    @property
    def waiting(self) -> int:
        """Items that are not yet computed."""
        return len(self._waiting)

    async def __call__(self, item: Item) -> Answer:
        """The answer of an item. Raises OverloadError where too many wait, and whatever computing this item raises.

        An item whose caller gives up before its turn is not computed.
        """
        return (await self.all([item]))[0]

    async def all(self, items: Sequence[Item]) -> list[Answer]:
        """The answers of several items of one request, which may be computed in several batches."""
        if len(self._waiting) + len(items) > self._max_waiting:
            raise OverloadError(max(1.0, len(self._waiting) * self._seconds_an_item))
        futures: list[asyncio.Future[Answer]] = [asyncio.get_running_loop().create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return list(await asyncio.gather(*futures))

    async def _work(self) -> None:
        """Until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
            batch = [(item, future) for item, future in batch if not future.done()]  # who gave up is left out
            if batch:
                started = loop.time()
                await self._answer(batch)
                seconds = loop.time() - started
                self._seconds_an_item += 0.1 * (seconds / len(batch) - self._seconds_an_item)
                self._observe(len(batch), len(self._waiting), seconds)

    async def _answer(self, batch: Sequence[tuple[Item, "asyncio.Future[Answer]"]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._executor, self._compute, [item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1:  # one of them is at fault: the others are answered without it
                for each in batch:
                    await self._answer([each])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
