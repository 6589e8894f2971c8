"""Raw rows and positions of sources that can't be read again, as every offline store must keep them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from featurestore.offline.contract import DroppedBatch, OfflineStore, RawBatch, RunTransaction
from tests.offline.history import learn, run_of, version

FIRST = RawBatch("orders", 1, 1, 3, "a" * 64, {"low": 1, "é": [None, True]})
SECOND = RawBatch("orders", 2, 2, 1, "b" * 64)
ELSEWHERE = RawBatch("payments", 1, 2, 2, "c" * 64)
LARGE = [bytes([number]) * (4 << 20) for number in range(3)] + [b"the \x00 rest"]


def commit(store: OfflineStore, run_id: str, write: Callable[[RunTransaction], None], *, dry_run: bool = False) -> None:
    with store.writing(run_id, dry_run=dry_run) as run:
        write(run)
        run.finish(run_of((run.run_seq, run.learned_at), run_id))


@pytest.fixture
def kept(store: OfflineStore) -> OfflineStore:
    def write(run: RunTransaction) -> None:
        run.put_raw(FIRST, [b"one", b"", b"two"])
        run.put_raw(SECOND, [b"three"])
        run.put_raw(ELSEWHERE, iter(LARGE))
        run.set_source_position("orders", {"offsets": {"0": 17}})

    commit(store, "one", write)
    return store


def held(store: OfflineStore, batch: RawBatch) -> bytes:
    return b"".join(store.raw_bytes(batch))


def test_before_the_first_batch_there_is_none(store: OfflineStore) -> None:
    for _ in range(2):
        assert (store.raw_batches(), store.raw_batches("orders"), store.source_position("orders")) == ([], [], None)
        assert held(store, FIRST) == b""
        learn(store, version(), [("a", 1, 0.5)], f"run {_}")


def test_batches_come_back_in_order_with_their_bytes_and_the_position(kept: OfflineStore) -> None:
    assert kept.raw_batches() == [FIRST, SECOND, ELSEWHERE]
    assert kept.raw_batches("orders") == [FIRST, SECOND]
    assert kept.raw_batches("orders", after=1) == [SECOND]
    assert [held(kept, batch) for batch in (FIRST, SECOND, ELSEWHERE)] == [b"onetwo", b"three", b"".join(LARGE)]
    assert max(map(len, kept.raw_bytes(ELSEWHERE))) <= 4 << 20
    assert (kept.source_position("orders"), kept.source_position("payments")) == ({"offsets": {"0": 17}}, None)


def test_a_run_that_does_not_commit_leaves_all_as_it_was(kept: OfflineStore) -> None:
    def write(run: RunTransaction) -> None:
        run.put_raw(replace(SECOND, sequence=3), [b"four"])
        run.drop_raw("orders", 2)
        run.set_source_position("orders", {"offsets": {"0": 99}})

    def fail(run: RunTransaction) -> None:
        write(run)
        raise KeyboardInterrupt

    commit(kept, "dry", write, dry_run=True)
    with pytest.raises(KeyboardInterrupt):
        commit(kept, "failed", fail)
    assert kept.raw_batches("orders") == [FIRST, SECOND]
    assert held(kept, FIRST) == b"onetwo"
    assert kept.source_position("orders") == {"offsets": {"0": 17}}


def test_batches_are_dropped_and_replaced_and_a_position_is_forgotten(kept: OfflineStore) -> None:
    merged = replace(SECOND, rows=4, content="d" * 64, facts=[1])

    def write(run: RunTransaction) -> None:
        run.drop_raw("orders", 1)
        run.put_raw(merged, [b"all of them"])
        run.set_source_position("orders", None)

    commit(kept, "two", write)
    assert kept.raw_batches() == [merged, ELSEWHERE]
    assert (held(kept, FIRST), held(kept, merged)) == (b"", b"all of them")
    assert kept.source_position("orders") is None
    kept.purge()
    assert (held(kept, merged), held(kept, ELSEWHERE)) == (b"all of them", b"".join(LARGE))


def test_batches_past_a_retention_go_and_are_remembered(kept: OfflineStore) -> None:
    assert kept.dropped_batches("orders") == []
    gone = [
        DroppedBatch("orders", 1, "a" * 64 + "@v1", 1_700_000_000_000_000),
        DroppedBatch("orders", 2, "b" * 64, None),
    ]
    kept.drop_batches(gone)
    assert (kept.raw_batches("orders"), kept.dropped_batches("orders")) == ([], gone)
    assert (held(kept, FIRST), held(kept, SECOND), held(kept, ELSEWHERE)) == (b"", b"", b"".join(LARGE))
    assert kept.dropped_batches("payments") == []
    assert kept.source_position("orders") == {"offsets": {"0": 17}}
