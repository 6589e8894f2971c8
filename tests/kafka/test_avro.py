"""Avro payloads, by a schema of a file or of a registry."""

import base64
import http.server
import io
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from tests.kafka.conftest import Shop

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "customer_id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}
WIDER = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "place", "type": "Place"}]}
PLACE = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}


def packed(customer: str, day: int, amount: str, schema: object = SCHEMA, **more: object) -> bytes:
    stream = io.BytesIO()
    named: dict[str, Any] = {}
    fastavro.parse_schema(PLACE, named_schemas=named)
    at = datetime(2026, 1, day, tzinfo=UTC)
    record = {"customer_id": customer, "at": at, "amount": Decimal(amount), "note": None, **more}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema, named_schemas=named), record)  # type: ignore[arg-type]
    return stream.getvalue()


def framed(number: int, payload: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + payload


@contextmanager
def registry(answers: Mapping[str, object], password: str) -> Iterator[int]:
    """What a schema registry answers to its clients, for one user. Yields its port."""
    wanted = "Basic " + base64.b64encode(f"reader:{password}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == wanted
            answer = answers.get(self.path) if known else None
            self.send_response(200 if answer else 404 if known else 401)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode() if answer else b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_every_record_is_read_by_the_schema_of_a_file(shop: Shop) -> None:
    shop.folder.write({"order.avsc": json.dumps(SCHEMA)})
    shop.edit('format = "json"', 'format = "avro"\nschema = "order.avsc"')
    good = packed("a", 1, "10.25")
    shop.kafka.send(shop.topic, [good, good[:-4], good + b"\0", b"", None, packed("a", 2, "1.50", note="x")])
    found = shop.folder.json("ingest", code=3)
    assert [(item["rows_written"], item["rows_rejected"]) for item in found["features"]] == [(2, 3), (2, 3)]
    assert shop.values("total", "a") == [10.25, 11.75]
    rows = shop.folder.json("runs", found["run_id"], "--rejected")["rejected"]
    assert [(row["place"].split()[-1], row["reason"].partition(":")[0]) for row in rows] == [
        ("1", "is not what its Avro schema says"), ("2", "has bytes after its record"),
        ("3", "is not what its Avro schema says"),
    ]  # fmt: skip


def test_each_record_is_read_by_the_schema_of_a_registry_that_it_names(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = {"name": "Place", "subject": "place/eu", "version": 1}
    answers = {
        "/schemas/ids/1": {"schema": json.dumps(SCHEMA)},
        "/schemas/ids/7": {"schema": json.dumps(WIDER), "references": [reference]},
        "/schemas/ids/8": {"schema": "syntax proto3", "schemaType": "PROTOBUF"},
        "/subjects/place%2Feu/versions/1": {"schema": json.dumps(PLACE)},
    }
    with registry(answers, "geheim") as port:
        monkeypatch.setenv("REGISTRY_PASSWORD", "geheim")
        url = f"http://reader:${{REGISTRY_PASSWORD}}@127.0.0.1:{port}"
        shop.edit('format = "json"', f'format = "avro"\nregistry = "{url}"')
        wider = packed("a", 2, "5", WIDER, place={"city": "Bonn"})
        payloads = [
            packed("a", 1, "10"),
            framed(1, packed("a", 1, "10")),
            framed(7, wider),
            framed(8, b""),
            framed(9, b""),
        ]
        shop.kafka.send(shop.topic, payloads)
        found = shop.folder.json("ingest", code=3)
        assert shop.values("total", "a") == [10, 15]
        rows = shop.folder.json("runs", found["run_id"], "--rejected")["rejected"]
        assert [row["reason"] for row in rows] == [
            "is not framed as a schema registry's clients write it", "its schema 8 is PROTOBUF, not Avro",
            "its schema 9 is not in the registry",
        ]  # fmt: skip
        monkeypatch.setenv("REGISTRY_PASSWORD", "wrong1")
        shop.kafka.send(shop.topic, [framed(1, packed("a", 3, "1"))])
        ran = shop.folder.run("ingest", code=4)
        assert f"the schema registry at http://127.0.0.1:{port} answers 401" in ran.err
        assert "wrong1" not in ran.out + ran.err


def test_another_schema_reads_all_records_anew(shop: Shop) -> None:
    shop.folder.write({"order.avsc": json.dumps(SCHEMA)})
    shop.edit('format = "json"', 'format = "avro"\nschema = "order.avsc"')
    shop.edit("[sources.orders]", '[sources.orders.columns]\namount = { type = "float" }\n[sources.orders]')
    shop.kafka.send(shop.topic, [packed("a", 1, "10.25")])
    shop.folder.features()
    hundredths = json.dumps(SCHEMA).replace('"scale": 2', '"scale": 1')
    shop.folder.write({"order.avsc": hundredths})
    assert shop.folder.features()["amount"]["rows_corrected"] == 1
    assert shop.values("amount", "a")[-1] == 102.5
    shop.folder.write({"order.avsc": "[]"})
    ran = shop.folder.run("ingest", code=2)
    assert "sources.orders.schema is not" in ran.err


def packed_key(schema: object, key: object) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), key)  # type: ignore[arg-type]
    return stream.getvalue()


def nameless(day: int, amount: float) -> str:
    """An order whose customer is in the key."""
    return json.dumps({"at": f"2026-01-{day:02}T00:00:00Z", "amount": amount})


ID: dict[str, Any] = {"type": "record", "name": "Id", "fields": [{"name": "id", "type": "long"}]}
TWO = {"type": "record", "name": "Two", "fields": [*ID["fields"], {"name": "place", "type": "string"}]}


def test_keys_are_read_by_the_schemas_of_a_registry(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = {1: "string", 2: "long", 3: {"type": "string", "logicalType": "uuid"}, 4: ID, 5: TWO, 6: "double"}
    answers = {f"/schemas/ids/{number}": {"schema": json.dumps(schema)} for number, schema in schemas.items()}
    some = uuid.UUID(int=7)
    keys = {1: "ada", 2: 17, 3: some, 4: {"id": 8}, 5: {"id": 9, "place": "x"}, 6: 1.5}
    with registry(answers, "geheim") as port:
        monkeypatch.setenv("REGISTRY_PASSWORD", "geheim")
        url = f"http://reader:${{REGISTRY_PASSWORD}}@127.0.0.1:{port}"
        shop.edit(
            'event_time = "at"', f'event_time = "at"\nkey = "customer_id"\nkey_format = "avro"\nregistry = "{url}"'
        )
        sent = [framed(number, packed_key(schemas[number], key)) for number, key in keys.items()]
        shop.kafka.send(shop.topic, [nameless(1, 10)] * 8, keys=[*sent, "plain", framed(1, b"\x06ad")])
        found = shop.folder.json("ingest", "amount", code=3)
    for customer in ("ada", "17", str(some), "8"):
        assert shop.values("amount", customer) == [10], customer
    rows = shop.folder.json("runs", found["run_id"], "--rejected")["rejected"]
    assert [row["reason"].removeprefix("its key ") for row in rows] == [
        "is a record of 2 fields, not of one", "is neither text nor a whole number (float)",
        "is not framed as a schema registry's clients write it", "is not what its Avro schema says: EOFError",
    ]  # fmt: skip


def test_a_record_without_a_payload_deletes_whom_its_avro_key_names(shop: Shop) -> None:
    shop.folder.write({"id.avsc": json.dumps(ID)})
    more = 'key = "customer_id"\nkey_format = "avro"\nkey_schema = "id.avsc"\ntombstone = "delete"'
    shop.edit('event_time = "at"', f'event_time = "at"\n{more}')
    seven, eight = (packed_key(ID, {"id": number}) for number in (7, 8))
    shop.kafka.send(shop.topic, [nameless(1, 10), nameless(1, 20)], keys=[seven, eight], at=1_767_225_600_000)
    shop.kafka.send(shop.topic, [None], keys=[seven], at=1_767_225_600_000 + 86_400_000)
    shop.folder.features("amount")
    assert shop.values("amount", "7") == [10, None]
    assert shop.values("amount", "8") == [20]
    shop.folder.run("delete", "customer", "7", "--erase", "--yes")
    shop.folder.run("ingest", "amount", "--full")
    assert shop.folder.json("history", "amount", "7")["values"] == [], "no raw record of it is left"
    assert shop.values("amount", "8") == [20]
