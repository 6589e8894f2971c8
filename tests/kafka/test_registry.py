"""A registry of schemas that answers nothing sensible, or whose url is none: said in words, without its password."""

from __future__ import annotations

from pathlib import Path

import fastavro
import pytest

from featurestore.errors import ConfigError, FeatureStoreError, SourceError
from featurestore.sources.kafka.avro import Registry
from featurestore.sources.kafka.settings import KafkaSettings
from tests.leaks import CANARY, ENCODED
from tests.services import free_port, refusing


def refused(url: str, kind: type[FeatureStoreError]) -> str:
    """What is said of a registry at that url."""
    settings = KafkaSettings("broker:9092", "orders", "avro", "earliest", registry=url, timeout=5)
    with pytest.raises(kind) as caught:
        Registry(fastavro, settings, Path("/nowhere"), "orders").framed(b"\x00\x00\x00\x00\x01payload")
    said = f"{caught.value} {caught.value.hint}"
    assert CANARY not in said
    return said


def test_a_server_that_speaks_something_else_is_no_defect() -> None:
    with refusing("-ERR no HTTP here") as port:
        said = refused(f"http://u:{ENCODED}@127.0.0.1:{port}/path", SourceError)
    assert f"the schema registry at http://127.0.0.1:{port} can't be read" in said


@pytest.mark.parametrize("rest", [f"{CANARY}/x", f"x/{CANARY}", f"x?{CANARY}", f"x#{CANARY}", f"[{CANARY}"])
def test_a_password_that_is_not_encoded_makes_no_url(rest: str) -> None:
    said = refused(f"http://u:{rest}@127.0.0.1:{free_port()}", ConfigError)
    assert "sources.orders.registry is not an http or https url" in said
    assert "percent-encode" in said


def test_what_may_be_a_part_of_a_password_is_not_taken_for_the_name_of_a_host() -> None:
    said = refused(f"http://{CANARY}/x@127.0.0.1:{free_port()}", SourceError)
    assert "the schema registry at sources.orders.registry can't be read" in said
