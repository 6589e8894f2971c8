"""What arrives together is asked together: one thread and one round trip for many requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Gathering(Generic[Key, Item, Answer]):
    """Items of one key that arrive in one turn of the event loop are answered by one call of ``work`` in a thread.

    Under load, more arrive in a turn, and so threads pass the interpreter's lock less often: that costs more than the
    work. ``work`` answers items in order, each with an answer or with what it raises. If it fails as a whole, each
    item is worked on alone, so that none fails for another.
    """

    def __init__(
        self, threads: ThreadPoolExecutor, work: Callable[[Sequence[Item]], Sequence[Answer | Exception]]
    ) -> None:
        self._threads, self._work = threads, work
        self._waiting: dict[Key, list[tuple[Item, asyncio.Future[Answer]]]] = {}

    async def ask(self, key: Key, item: Item) -> Answer:
        """The answer about an item. Raises what ``work`` raises."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        batch = self._waiting.get(key)
        if batch is None:
            batch = self._waiting[key] = []
            loop.call_soon(self._start, loop, key)
        batch.append((item, answered))
        return await answered

    def _start(self, loop: asyncio.AbstractEventLoop, key: Key) -> None:
        batch = self._waiting.pop(key)
        try:
            self._threads.submit(self._run, loop, batch)
        except RuntimeError as exc:  # the server is stopping
            _settle(batch, [exc] * len(batch))

    def _run(self, loop: asyncio.AbstractEventLoop, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = self._work([item for item, _ in batch])
        except Exception as exc:  # noqa: BLE001  # it is raised where the answer is waited for
            if len(batch) > 1:
                for each in batch:
                    self._threads.submit(self._run, loop, [each])
                return
            answers = [exc]
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, batch, answers)


def _settle(batch: Sequence[tuple[Item, asyncio.Future[Answer]]], answers: Sequence[Answer | Exception]) -> None:
    for (_, answered), answer in zip(batch, answers, strict=True):
        if answered.done():  # its request took too long, or has gone
            continue
        if isinstance(answer, Exception):
            answered.set_exception(answer)
        else:
            answered.set_result(answer)
