"""Data sets and their label files, as every offline store must keep them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from featurestore.offline.contract import DataSet, DataSetFeature, OfflineStore
from tests.offline.history import learn, run_of, version

SCORE = version()
PARTS = [b"patient_id,at\n", b"a,2024-01-01\n" * 3, b"\x00\xff"]
TRIAL = DataSet(
    name="trial", made_at=1_700_000_000_000_001, run_seq=1, run_id="one", entity_type="patient",
    entity_columns=("p", "q"), features=(DataSetFeature("score@1", "score", "a" * 64, 1, 3_600_000_000, 2),),
    timestamp_column="at", known=True, as_of=None, labels_name="é.csv", labels_form="csv",
    labels_sha256="f" * 64, labels_bytes=55, labels_kept=True, rows=3, content_sha256="c" * 64,
    output_form=None, output_sha256=None, git_commit=None, writer="w", batch_rows=9,
)  # fmt: skip


@pytest.fixture
def kept(store: OfflineStore) -> OfflineStore:
    learn(store, SCORE, [("a", 1, 0.5)], "one")
    store.store_dataset(TRIAL, PARTS)
    return store


def drop(store: OfflineStore, *hashes: str, dry_run: bool = False) -> int:
    """One run that drops label files; gives when it was."""
    with store.writing("erased", dry_run=dry_run) as run:
        run.drop_labels(hashes)
        run.finish(run_of((run.run_seq, run.learned_at), "erased"))
    return run.learned_at


def test_before_the_first_there_is_none(store: OfflineStore) -> None:
    assert store.datasets() == []
    assert list(store.label_file("f" * 64)) == []


def test_what_was_kept_comes_back(kept: OfflineStore) -> None:
    assert kept.datasets() == kept.datasets("trial") == [TRIAL]
    assert kept.datasets("other") == []
    assert b"".join(kept.label_file("f" * 64)) == b"".join(PARTS)


def test_a_large_label_file_comes_back_in_pieces(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.5)], "one")
    parts = [bytes([number]) * (4 << 20) for number in range(5)] + [b"the rest"]
    store.store_dataset(TRIAL, parts)
    found = list(store.label_file("f" * 64))
    assert b"".join(found) == b"".join(parts)
    assert max(map(len, found)) <= 4 << 20
    store.purge()
    assert b"".join(store.label_file("f" * 64)) == b"".join(parts)


def test_one_label_file_is_kept_once_and_as_long_as_it_is_needed(kept: OfflineStore) -> None:
    other = replace(TRIAL, name="other", made_at=TRIAL.made_at + 1)
    kept.store_dataset(other, iter([b"never looked at"]))
    assert [item.name for item in kept.datasets()] == ["trial", "other"]
    kept.store_dataset(replace(TRIAL, labels_sha256="e" * 64), [b"new"])
    assert b"".join(kept.label_file("f" * 64)) == b"".join(PARTS)
    kept.store_dataset(replace(other, labels_kept=False), None)
    assert list(kept.label_file("f" * 64)) == []
    assert list(kept.label_file("e" * 64)) == [b"new"]


def test_dropped_labels_are_gone_and_their_data_sets_say_so(kept: OfflineStore) -> None:
    others = [
        replace(TRIAL, name="shares them", made_at=TRIAL.made_at + 1),
        replace(TRIAL, name="never kept them", made_at=TRIAL.made_at + 2, labels_kept=False),
        replace(TRIAL, name="has others", made_at=TRIAL.made_at + 3, labels_sha256="e" * 64),
    ]
    for item, labels in zip(others, ([], None, [b"new"]), strict=True):
        kept.store_dataset(item, labels)
    drop(kept, "f" * 64, dry_run=True)
    assert kept.datasets() == [TRIAL, *others]
    assert b"".join(kept.label_file("f" * 64)) == b"".join(PARTS)
    at = drop(kept, "f" * 64, "d" * 64)
    assert kept.datasets() == [
        replace(TRIAL, labels_kept=False, labels_erased=at),
        replace(others[0], labels_kept=False, labels_erased=at),
        *others[1:],
    ]
    assert list(kept.label_file("f" * 64)) == []
    kept.purge()
    assert list(kept.label_file("e" * 64)) == [b"new"]
