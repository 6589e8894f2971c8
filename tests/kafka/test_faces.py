"""What `preview`, `doctor`, `show` and `status` say of a topic, and how its settings are read."""

import json

import pytest

from featurestore import times
from featurestore.errors import ConfigError
from featurestore.sources.kafka.settings import read_settings
from featurestore.toml import TomlTable
from tests.kafka.conftest import Shop, order

WORDS = {"brokers": "b:9092", "topic": "t", "format": "json", "start": "earliest"}


def test_preview_shows_the_first_records_and_takes_nothing(shop: Shop) -> None:
    shop.send(("a", 1, 10), ("b", 1, 5))
    shop.kafka.send(shop.topic, ["{"])
    found = shop.folder.json("preview", "orders")
    assert [row["customer_id"] for row in found["rows"]] == ["a", "b"]
    assert found["rows_rejected"] == 1
    assert shop.folder.features(code=3)["amount"]["rows_written"] == 2


def test_preview_shows_the_last_records_where_a_source_begins_with_what_comes(shop: Shop) -> None:
    shop.send(("a", 1, 10), ("b", 1, 5))
    shop.edit('"earliest"', '"latest"')
    assert len(shop.folder.json("preview", "orders")["rows"]) == 2


def test_doctor_tries_the_connection(shop: Shop) -> None:
    shop.send(("a", 1, 10))
    said = [check["what"] for check in shop.folder.json("doctor")["checks"] if check["area"] == "sources"]
    assert said == [f"orders: topic {shop.topic} has 2 partitions and at most 1 records"]
    shop.edit(f'topic = "{shop.topic}"', 'topic = "none"')
    checks = shop.folder.json("doctor", code=1)["checks"]
    (failed,) = [check for check in checks if check["area"] == "sources"]
    assert (failed["state"], "there is no topic 'none'" in failed["what"]) == ("fail", True)


def test_show_and_status_know_the_topic(shop: Shop) -> None:
    shop.send(("a", 1, 10))
    shop.folder.features()
    found = shop.folder.json("lineage", "amount")
    assert found["source"]["path"] == f"topic {shop.topic} at {shop.kafka.brokers}"
    assert shop.folder.json("show", "amount")["source"] == "orders"
    assert shop.folder.json("status")["features"][0]["last_status"] == "ok"


def test_no_secret_is_ever_printed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "geheim1")
    (shop.folder.root / "key").write_text("geheim2\n")
    shop.edit(
        "[sources.orders]",
        '[sources.orders.kafka]\nsasl.password = "${SHOP_PASSWORD}"\nsasl.username = "u"\n'
        'ssl.key.password_file = "key"\nsecurity.protocol = "SASL_PLAINTEXT"\nsasl.mechanisms = "PLAIN"\n'
        "[sources.orders]",
    )
    shop.edit('"5s"', '"1s"')
    ran = shop.folder.run("ingest", code=4)
    assert "geheim" not in ran.out + ran.err
    assert shop.kafka.brokers in ran.err


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"start": None}, "sources.x.start is missing", 'start = "earliest" takes'),
        ({"start": "first"}, "sources.x.start is neither earliest, latest nor a time", ""),
        ({"format": "jsn"}, "sources.x.format must be one of json, avro, text", "did you mean 'json'?"),
        ({"format": "avro"}, "sources.x.format avro needs schema or registry", "schema ="),
        ({"registry": "http://r"}, 'sources.x.registry is for format = "avro", or key_format = "avro"', ""),
        ({"key_format": "avro"}, "sources.x.key_format is of the column that key names", "key ="),
        ({"key_format": "avro", "key": "id"}, "sources.x.key_format avro needs key_schema or registry", "key_schema ="),
        ({"key_schema": "x.avsc"}, 'sources.x.key_schema is for key_format = "avro"', ""),
        ({"tombstone": "delete"}, "sources.x.tombstone deletes the entity", "key ="),
        ({"duplicates": "keep"}, "sources.x.duplicates is not for a stream", ""),
        ({"timeout": "soon"}, "sources.x.timeout is not a duration", ""),
        ({"kafka": {"group.id": "g"}}, "sources.x.kafka.group.id is `group` of the source", ""),
        ({"kafka": {"enable": {"auto": {"commit": True}}}}, "sources.x.kafka.enable.auto.commit is false", ""),
        ({"kafka": {"ssl.ca.location": ["a"]}}, "sources.x.kafka.ssl.ca.location must be text", ""),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str, hint: str) -> None:
    given = {name: value for name, value in {**WORDS, **settings}.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        read_settings(TomlTable(given, "featurestore.toml", ("sources", "x")))
    assert caught.value.message.startswith(message)
    assert (caught.value.hint or "").startswith(hint)


def test_a_setting_that_the_client_does_not_know_gets_a_suggestion(shop: Shop) -> None:
    shop.edit("[sources.orders]", '[sources.orders.kafka]\n"sasl.pasword" = "x"\n[sources.orders]')
    error = shop.folder.features(code=4)["amount"]["error"]
    assert error["message"] == "sources.orders.kafka: 'sasl.pasword' is no setting of the Kafka client"
    assert error["hint"] == "did you mean 'sasl.password'?"


def test_text_is_one_column(shop: Shop) -> None:
    shop.edit('format = "json"', 'format = "text"\nkey = "customer_id"\ntimestamp = "at"')
    shop.folder.edit("features/shop.py", '("amount") * 1.0\n', '("value").str.len_chars() * 1.0\n')
    shop.kafka.send(shop.topic, ["three", b"\xff"], keys=["a", "a"], at=1_767_225_600_000)
    found = shop.folder.json("ingest", "amount", code=3)["features"]
    assert (found[0]["rows_written"], found[0]["rows_rejected"]) == (1, 1)
    assert shop.values("amount", "a") == [5]


@pytest.mark.parametrize("key", [b"\0\0\0\0\1\6ada", b"\0\0\0\5", b"\xff"], ids=["framed", "number", "not-utf-8"])
def test_a_key_that_is_not_text_is_nobody(shop: Shop, key: bytes) -> None:
    shop.edit('event_time = "at"', 'event_time = "at"\nkey = "customer_id"\ntombstone = "delete"')
    payload = order("", 1, 10).replace('"customer_id": "", ', "")
    shop.kafka.send(shop.topic, [payload, payload, None], keys=["ada", key, key])
    ran = shop.folder.run("ingest", "amount", code=3)
    assert "its key is not text: UTF-8, without a zero byte as in a number or an Avro key" in ran.err
    assert "key_format" in ran.err
    assert "nothing is deleted by 1 record without a payload" in ran.err
    assert shop.values("amount", "ada") == [10]


def test_a_record_without_a_payload_deletes_the_entity_of_its_key(shop: Shop) -> None:
    shop.edit('event_time = "at"', 'event_time = "at"\nkey = "customer_id"\ntombstone = "delete"')
    at = 1_767_225_600_000

    def send(day: int, value: float | None) -> None:
        payload = None if value is None else order("", day, value).replace('"customer_id": "", ', "")
        shop.kafka.send(shop.topic, [payload], keys=["a"], at=at + (day - 1) * 86_400_000)

    send(1, 10)
    send(2, 20)
    shop.folder.features()
    send(3, None)
    send(4, 40)
    shop.folder.features()
    held = [(each["value"], each["computed_at"][:10]) for each in shop.folder.json("history", "total", "a")["values"]]
    assert held == [(10, "2026-01-01"), (30, "2026-01-02"), (None, "2026-01-03"), (40, "2026-01-04")]
    held = [(each["value"], each["computed_at"][:10]) for each in shop.folder.json("history", "amount", "a")["values"]]
    assert held == [(10, "2026-01-01"), (20, "2026-01-02"), (None, "2026-01-03"), (40, "2026-01-04")]
    assert {one["status"] for one in shop.folder.features("--full").values()} == {"unchanged"}


WINDOW = """


@feature(entity_type="customer", data_type="int", window="3d")
def spend() -> pl.Expr:
    return pl.col("amount").sum()


@feature(entity_type="customer", data_type="float")"""


def test_windows_are_over_a_stream_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Corrections replace their event, a row leaves when its time has passed, and a deletion ends what was to come."""
    shop.edit('event_time = "at"', 'event_time = "at"\nid = ["number"]\nkey = "customer_id"\ntombstone = "delete"')
    shop.folder.edit("features/shop.py", '\n\n@feature(entity_type="customer", data_type="float")', WINDOW)
    first, day = 1_767_225_600_000_000, 86_400_000_000  # 2026-01-01

    def send(number: int, at: int, amount: int) -> None:
        row = {"number": number, "at": f"2026-01-{at:02}T00:00:00Z", "amount": amount}
        shop.kafka.send(shop.topic, [json.dumps(row)], keys=["a"], at=first // 1_000)

    def run(clock: int) -> None:
        monkeypatch.setattr(times, "now", lambda: first + (clock - 1) * day)
        assert shop.folder.features("spend")["spend"]["status"] == "ok"

    def asked(*days: int) -> list[object]:
        labels = "".join(f"a,2026-01-{at:02}T12:00:00Z\n" for at in days)
        shop.folder.write({"labels.csv": f"customer_id,t\n{labels}"})
        found = shop.folder.json("join", str(shop.folder.root / "labels.csv"), "-f", "spend", "--timestamp-column", "t")
        return [row["spend"] for row in found["rows"]]

    send(1, 2, 10)
    send(2, 4, 5)
    run(5)
    assert asked(1, 2, 4, 5, 7) == [None, 10, 15, 5, 0]
    send(1, 2, 30)  # a correction
    send(3, 5, 1)
    run(6)
    assert asked(2, 4, 5, 6, 7, 8) == [30, 35, 6, 6, 1, 0]
    assert shop.folder.features("spend", "--full")["spend"]["status"] == "unchanged"
    shop.kafka.send(shop.topic, [None], keys=["a"], at=(first + 5 * day) // 1_000)
    monkeypatch.setattr(times, "now", lambda: first + 6 * day)
    shop.folder.features("amount")  # which fetches the deletion
    assert asked(5, 6, 7, 8) == [6, None, None, None]
    shop.folder.features("spend")
    assert asked(5, 6, 7, 8) == [6, None, None, None]
