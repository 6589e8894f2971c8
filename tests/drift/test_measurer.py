"""What a run wrote is assessed beside what it does next, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from featurestore.drift.assess import Assessment
from featurestore.drift.measurer import Measurer


@pytest.fixture
def measurer() -> Iterator[Measurer]:
    measurer = Measurer()
    yield measurer
    measurer.close()


def assessment(number: int, before: Callable[[], object] = lambda: None) -> Assessment:
    before()
    return Assessment({"number": number}, {"thread": threading.current_thread().name}, None)


def test_it_runs_beside_whoever_began_it_and_in_order(measurer: Measurer) -> None:
    go = threading.Event()
    begun = [measurer.begin(lambda n=n: assessment(n, lambda: go.wait(20)), compares=False) for n in range(3)]  # type: ignore[misc]
    assert not any(each.done() for each in begun)
    go.set()
    found = [each.result() for each in begun]
    assert [each.verdict["number"] for each in found] == [0, 1, 2]
    assert len({each.statistics["thread"] for each in found} - {threading.current_thread().name}) == 1


def test_what_is_compared_is_done_when_it_is_asked_for(measurer: Measurer) -> None:
    begun = measurer.begin(lambda: assessment(1), compares=True)
    assert begun.done()
    assert begun.result().statistics["thread"] == threading.current_thread().name


def test_closing_waits_for_one_and_leaves_the_others() -> None:
    measurer, begun, go, done = Measurer(), threading.Event(), threading.Event(), []

    def slow() -> Assessment:
        begun.set()
        go.wait(20)
        done.append(1)
        return assessment(1)

    measurer.begin(slow, compares=False)
    second = measurer.begin(lambda: assessment(2, lambda: done.append(2)), compares=False)
    assert begun.wait(20)
    threading.Timer(0.1, go.set).start()
    measurer.close()
    assert done == [1]
    assert second.cancelled()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("measure")]
