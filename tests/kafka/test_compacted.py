"""Small batches become few, and nobody notices."""

from typing import cast

import pytest

from featurestore.config import load_project
from featurestore.offline.open import open_offline
from tests.kafka.conftest import Shop


def test_many_small_batches_become_few_and_no_value_changes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurestore.sources.kafka.source.MOST_SMALL", 2)
    monkeypatch.setattr("featurestore.sources.kafka.source.MOST_OF_EACH", 1)
    project = load_project(shop.folder.root)
    counts = []
    for day in range(1, 7):
        shop.send(("a", day, day), ("b", 1, day))
        shop.send(("c", day, day), partition=1)
        found = shop.folder.features()
        reason = "whole source: new version" if day == 1 else "new rows"
        assert (found["amount"]["rows_written"], found["amount"]["reason"]) == (3 if day == 1 else 2, reason)
        batches = open_offline(project).raw_batches("orders")
        counts.append(len(batches))
        assert sum(batch.rows for batch in batches) == 3 * day
        facts = [cast("dict[str, int]", batch.facts) for batch in batches]
        for partition, each in ((0, 2), (1, 1)):
            spans = [(one["first"], one["last"]) for one in facts if one["partition"] == partition]
            assert [first for first, _ in spans] == [0, *(last + 1 for _, last in spans[:-1])]
            assert spans[-1][1] == each * day - 1
    assert max(counts) <= 6
    assert (shop.values("total", "a"), shop.values("amount", "b")[-1]) == ([1, 3, 6, 10, 15, 21], 6)
    assert {one["status"] for one in shop.folder.features("--full").values()} == {"unchanged"}


def test_records_of_a_topic_that_was_made_anew_stay_behind_those_of_the_old_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.send(("a", 1, 1), ("a", 2, 2), ("a", 3, 3))
    shop.folder.features()
    shop.kafka.remove(shop.topic)
    shop.kafka.topic(2, shop.topic)
    shop.send(("a", 3, 30))
    shop.folder.features("--restart-source", "orders")
    monkeypatch.setattr("featurestore.sources.kafka.source.MOST_SMALL", 1)
    monkeypatch.setattr("featurestore.sources.kafka.source.MOST_OF_EACH", 1)
    shop.send(("a", 4, 4))
    shop.folder.features()
    batches = open_offline(load_project(shop.folder.root)).raw_batches("orders")
    facts = [cast("dict[str, int]", batch.facts) for batch in batches]
    assert [(one["again"], one["first"], one["last"]) for one in facts] == [(True, 0, 2), (True, 0, 0), (False, 1, 1)]
    assert shop.values("amount", "a") == [1, 2, 3, 30, 4]
    assert {one["status"] for one in shop.folder.features("--full").values()} == {"unchanged"}
