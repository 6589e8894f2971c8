"""What arrives together is read together, and each gets its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from featurestore.errors import StoreError, UsageError
from featurestore.serve.gathering import Gathering


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def ask_all(gathering: Gathering[str, int, str], items: Sequence[int], key: str = "one") -> list[Any]:
    async def asked() -> list[Any]:
        return await asyncio.gather(*(gathering.ask(key, item) for item in items), return_exceptions=True)

    return asyncio.run(asked())


def test_items_that_arrive_together_are_one_call(threads: ThreadPoolExecutor) -> None:
    calls: list[Sequence[int]] = []

    def work(items: Sequence[int]) -> list[str | Exception]:
        calls.append(items)
        return [str(item) for item in items]

    assert ask_all(Gathering(threads, work), [3, 1, 2]) == ["3", "1", "2"]
    assert calls == [[3, 1, 2]]


def test_items_of_another_key_are_another_call(threads: ThreadPoolExecutor) -> None:
    calls: list[Sequence[int]] = []

    def work(items: Sequence[int]) -> list[str | Exception]:
        calls.append(items)
        return [str(item) for item in items]

    gathering: Gathering[str, int, str] = Gathering(threads, work)

    async def asked() -> Sequence[str]:
        return await asyncio.gather(gathering.ask("a", 1), gathering.ask("b", 2), gathering.ask("a", 3))

    assert tuple(asyncio.run(asked())) == ("1", "2", "3")
    assert sorted(map(list, calls)) == [[1, 3], [2]]


def test_an_item_that_is_refused_fails_alone(threads: ThreadPoolExecutor) -> None:
    def work(items: Sequence[int]) -> list[str | Exception]:
        return [UsageError("odd") if item % 2 else str(item) for item in items]

    found = ask_all(Gathering(threads, work), [2, 3, 4])
    assert [found[0], str(found[1]), found[2]] == ["2", "odd", "4"]


def test_where_a_call_fails_each_item_is_asked_alone(threads: ThreadPoolExecutor) -> None:
    def work(items: Sequence[int]) -> list[str | Exception]:
        if 3 in items:  # as where the node that has this entity is gone
            raise StoreError("gone")
        return [str(item) for item in items]

    found = ask_all(Gathering(threads, work), [2, 3, 4])
    assert [found[0], str(found[1]), found[2]] == ["2", "gone", "4"]


def test_an_item_that_nobody_waits_for_any_more_disturbs_no_other(threads: ThreadPoolExecutor) -> None:
    going = threading.Event()

    def work(items: Sequence[int]) -> list[str | Exception]:
        assert going.wait(10)
        return [str(item) for item in items]

    gathering: Gathering[str, int, str] = Gathering(threads, work)

    async def asked() -> str:
        gone, stays = asyncio.create_task(gathering.ask("a", 1)), asyncio.create_task(gathering.ask("a", 2))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        going.set()
        return await stays

    assert asyncio.run(asked()) == "2"


def test_what_a_stopping_server_can_not_ask_fails(threads: ThreadPoolExecutor) -> None:
    threads.shutdown()
    (found,) = ask_all(Gathering(threads, lambda items: [str(item) for item in items]), [1])
    assert isinstance(found, RuntimeError)


def test_at_once_each_question_gets_its_own_answer(server: str) -> None:
    expected = {"001": 0.51, "002": 0.6, "nobody": None}

    async def asked() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=server, limits=limits, timeout=30) as http:
            questions: list[dict[str, Any]] = []
            for entity in list(expected) * 30:
                questions.append({"entity_type": "patient", "entities": [entity], "features": ["age_share"]})
                questions.append({"entity_type": "patient", "entities": [entity], "features": ["x=age_share"]})
                questions.append({"entity_type": "patient", "entities": [entity, 7.5], "features": ["age_share"]})
                questions.append({"entity_type": "shelf", "entities": [entity], "features": ["stock"]})
            return await asyncio.gather(*(http.post("/v1/online", json=question) for question in questions))

    found = asyncio.run(asked())
    for at, entity in enumerate(list(expected) * 30):
        plain, named, wrong, shelf = found[at * 4 : at * 4 + 4]
        for answer, name in ((plain, "age_share"), (named, "x")):
            (only,) = answer.json()["entities"]
            assert (only["entity_id"], only["features"][name]["value"]) == (entity, expected[entity])
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "usage")
        assert (shelf.status_code, shelf.json()["error"]["code"]) == (400, "usage")
