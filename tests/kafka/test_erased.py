"""``delete --erase`` leaves nothing of an entity in the raw records that the history keeps."""

from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.offline.open import open_offline
from tests.erasure.contents import naming_in
from tests.erasure.test_servers import url_of
from tests.kafka.conftest import Shop
from tests.services_postgres import PostgresServer


def raw_bytes(shop: Shop, folder: Path) -> bytes:
    """All raw records as they were sent, one after another."""
    import polars as pl

    store = open_offline(load_project(shop.folder.root))
    found = b""
    for batch in store.raw_batches("orders"):
        path = folder / "batch"
        path.write_bytes(b"".join(store.raw_bytes(batch)))
        frame = pl.read_parquet(path)
        found += b"".join(value or b"" for name in ("key", "value") for value in frame[name])
    return found


@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_an_erased_entity_is_in_no_raw_record_and_does_not_come_back(
    shop: Shop, tmp_path: Path, kind: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "postgresql":
        postgres.run("CREATE DATABASE of_topics")
        monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", url_of(postgres, "of_topics"))
    shop.send(("quixotic", 1, 10), ("b", 1, 5), ("quixotic", 2, 20))
    shop.kafka.send(shop.topic, ["{quixotic", None], keys=[None, "quixotic"])
    shop.folder.features(code=3)
    assert raw_bytes(shop, tmp_path).count(b"quixotic") == 4
    assert any("raw_parts.bytes" in field for field in naming_in(shop.folder.root, [b"quixotic"]))
    shop.folder.run("delete", "customer", "quixotic", "--erase", "--yes")
    assert naming_in(shop.folder.root, [b"quixotic"]) == []
    assert raw_bytes(shop, tmp_path).count(b"quixotic") == 0
    shop.send(("b", 2, 7))
    shop.folder.features()
    assert (shop.values("total", "quixotic"), shop.values("total", "b")) == ([], [5, 12])
    for path in shop.folder.root.rglob("*"):
        assert not path.is_file() or b"quixotic" not in path.read_bytes(), path
