"""Tables of a PostgreSQL server: what is read is what the server holds, in one snapshot, or it is said what is not."""

from __future__ import annotations

import sys
import threading
from typing import Any

import polars as pl
import pytest

from featurestore.errors import ConfigError, FeatureStoreError, SourceError, UnreachableError, UsageError
from featurestore.sources.postgresql import reading
from featurestore.workflows.source_preview import preview
from tests.conftest import Folder
from tests.services import free_port
from tests.sources.conftest import Shops
from tests.sources.postgres import Tables, tables

__all__ = ["tables"]

CARRIED = {
    "truth": ("bool", "true"), "small": ("int2", "-32768"), "whole": ("int4", "2147483647"),
    "large": ("int8", "9007199254740993"), "single": ("float4", "1.5"), "double": ("float8", "'-infinity'"),
    "nan": ("float8", "'NaN'"), "exact": ("numeric(20,3)", "12345678901234567.125"), "free": ("numeric", "1.1"),
    "cents": ("money", "'1234.50'"), "word": ("text", "'ü'"), "short": ("varchar(5)", "'a '"),
    "padded": ("char(5)", "'ab'"), "id": ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"),
    "document": ("jsonb", """'{"a": [1, null]}'"""), "raw": ("json", """'{"a":  1}'"""), "feeling": ("mood", "'ok'"),
    "positive": ("positive", "3"), "mail": ("mail", "'a@b'"), "day": ("date", "'2024-02-29'"),
    "local": ("timestamp", "'2024-02-29 23:59:59.999999'"), "instant": ("timestamptz", "'2024-02-29 23:00:00+05:30'"),
    "clock": ("time", "'23:59'"), "host": ("inet", "'10.0.0.0/8'"), "span": ("int4range", "'[1,3)'"),
    "vector": ("float8[]", "'{1.5,NULL}'"), "numbers": ("int4[]", "'{1,2}'"), "words": ("text[]", "'{a,NULL,b}'"),
    "amounts": ("numeric(5,2)[]", "'{1.50}'"), "feelings": ("mood[]", "'{ok,sad}'"), "none": ("text", "NULL"),
}  # fmt: skip
# What psycopg gives as Python values, as this project has them.
AS_TEXT = ("id", "document", "raw", "clock", "host", "span")
AS_TEXTS = ("amounts", "feelings")
TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN mail AS text;
"""


def test_every_type_that_is_carried_comes_as_the_server_has_it(tables: Tables, shops: Shops) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _) in CARRIED.items())
    values = ", ".join(value for _, value in CARRIED.values())
    nulls = ", ".join("'none'" if name == "id" else "NULL" for name in CARRIED).replace("'none'", "gen_random_uuid()")
    tables.run(f"{TYPES} CREATE TABLE visits ({columns}); INSERT INTO visits VALUES ({values}), ({nulls})")
    frame = shops(tables.source()).read().frame
    asked = ", ".join(f'"{name}"::text[]' if name in AS_TEXTS else f'"{name}"' if name not in AS_TEXT
                      else f'"{name}"::text' for name in CARRIED)  # fmt: skip
    expected = tables.rows(f"SELECT {asked} FROM visits WHERE truth")[0]
    found = frame.filter(pl.col("truth"))
    instants = {name: str(value) for name, value in found.select("local", "instant", "day").row(0, named=True).items()}
    assert instants == {
        "local": "2024-02-29 23:59:59.999999+00:00", "instant": "2024-02-29 17:30:00+00:00", "day": "2024-02-29",
    }  # fmt: skip
    special = ("local", "instant", "day", "nan", "cents", "free", "padded")
    judged = {name: value for name, value in zip(CARRIED, expected, strict=True) if name not in special}
    assert found.select(*judged).row(0, named=True) == judged
    assert found.select("cents", "free", "padded").row(0) == (1234.5, 1.1, "ab")
    assert found["nan"].is_nan().all()
    assert frame.schema["exact"] == pl.Decimal(20, 3)
    empty = frame.filter(pl.col("truth").is_null()).drop("id")
    assert set(empty.row(0)) == {None}


def test_a_column_that_is_not_carried_is_said_and_refused_where_it_is_needed(tables: Tables, shops: Shops) -> None:
    tables.run(
        "CREATE TABLE visits (id text, photo bytea, at timestamptz); INSERT INTO visits VALUES ('a', 'x', now())"
    )
    rows = shops(tables.source()).read()
    assert rows.frame.columns == ["id", "at"]
    assert rows.warnings == ("source visits: left out, since they can't be carried: photo (bytea)",)
    with pytest.raises(SourceError, match=r"column photo \(bytea\) is of a type that can't be read exactly") as caught:
        shops(tables.source('table = "visits"\n[sources.visits.columns]\nphoto = { type = "string" }')).read()
    assert "photo" not in (caught.value.where or "") and "column::text" in str(caught.value.hint)  # noqa: PT018


def test_rows_with_values_that_nothing_can_hold_are_set_aside_and_say_which(tables: Tables, shops: Shops) -> None:
    tables.run(
        "CREATE TABLE visits (id text, at timestamptz, day date, list int[], n numeric(4,1)); "
        "INSERT INTO visits VALUES "
        "('a', '2024-01-01', '2024-01-01', '{1}', 1.5), ('b', 'infinity', NULL, NULL, NULL), "
        "('c', '-infinity', NULL, NULL, NULL), ('d', NULL, 'infinity', NULL, NULL), "
        "('e', NULL, NULL, '{{1},{2}}', NULL), ('f', NULL, NULL, NULL, 'NaN'), ('g', '294276-12-31', NULL, NULL, NULL)"
    )
    shop = shops(tables.source())
    rows = shop.read()
    assert rows.frame["id"].to_list() == ["a"]
    assert [(row.values["line"], row.reason) for row in rows.rejected] == [
        ("id=b", "column 'at' holds infinity, or a time that is too far off"),
        ("id=c", "column 'at' holds infinity, or a time that is too far off"),
        ("id=d", "column 'day' holds infinity, or a time that is too far off"),
        ("id=e", "column 'list' holds an array of arrays"),
        ("id=f", "column 'n' is no number"),
        ("id=g", "column 'at' holds infinity, or a time that is too far off"),
    ]
    assert rows.rejected[0].place == "visits: table visits row 2"


def test_the_same_rows_in_another_order_are_the_same_source(tables: Tables, shops: Shops) -> None:
    tables.run("CREATE TABLE visits (id text, n int); INSERT INTO visits VALUES ('a', 1), ('b', 2)")
    shop = shops(tables.source())
    first = shop.fingerprint()
    tables.run("BEGIN; DELETE FROM visits WHERE id = 'a'; INSERT INTO visits VALUES ('a', 1); COMMIT")
    tables.run("VACUUM FULL visits")
    assert tables.rows("SELECT id FROM visits") == [("b",), ("a",)]
    assert shop.fingerprint() == first
    tables.run("UPDATE visits SET n = 3 WHERE id = 'b'")
    assert shop.fingerprint() != first
    tables.run("INSERT INTO visits VALUES ('a', 1)")
    assert len({first, shop.fingerprint()}) == 2


def test_a_table_is_found_by_its_schema_and_whatever_its_name_holds(tables: Tables, shops: Shops) -> None:
    for name in ("Visits", "a.b", 'with "quotes" and %s'):
        tables.run(
            'CREATE TABLE "{}" (id text); INSERT INTO "{}" VALUES (\'x\')'.format(*[name.replace('"', '""')] * 2)
        )
        shop = shops(tables.source(f"table = '{name}'"))
        assert shop.read().frame.rows() == [("x",)]
    assert shops(tables.source(f'table = "{tables.schema}.Visits"')).read().frame.height == 1


def test_a_query_is_read_as_it_is_written(tables: Tables, shops: Shops) -> None:
    tables.run("CREATE TABLE visits (id text, n int); INSERT INTO visits VALUES ('a%', 1), ('b', 2)")
    query = "WITH v AS (SELECT * FROM visits) SELECT id, n * 2 AS n FROM v WHERE id LIKE 'a%' -- the end"
    assert shops(tables.source(f'query = "{query}"')).read().frame.rows() == [("a%", 2)]


@pytest.mark.parametrize(("more", "message", "hint"), [
    ('table = "visit"', "there is no table 'visit'", "did you mean 'visits'?"),
    ('query = "SELECT nothing FROM visits"', 'its query can\'t be read: column "nothing" does not exist', "fix query"),
    ('query = "SELECT 1/0 AS id"', "its query can't be read: division by zero", "fix query"),
    ("query = \"SELECT nextval('s')::text AS id\"", "can't be read: the answer broke off: cannot execute", "fix"),
    ('query = "SELECT 1 AS id, 2 AS id"', "has 2 columns named 'id'", "rename"),
])  # fmt: skip
def test_what_can_not_be_read_is_said_with_the_way_out(
    more: str, message: str, hint: str, tables: Tables, shops: Shops
) -> None:
    tables.run("CREATE TABLE visits (id text); CREATE SEQUENCE s")
    with pytest.raises(SourceError) as caught:
        shops(tables.source(more)).read()
    assert message in caught.value.message
    assert caught.value.where == "source visits"
    assert hint in str(caught.value.hint)


def test_a_right_that_is_missing_is_named_with_the_statement_that_gives_it(tables: Tables, shops: Shops) -> None:
    tables.run("CREATE TABLE visits (id text)")
    role = f"r_{tables.schema}"
    tables.server.run(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {tables.schema} TO {role}")
    try:
        with pytest.raises(SourceError, match="may not be read: permission denied for table visits") as caught:
            shops(tables.source(url=tables.url.replace("postgres@", f"{role}@", 1))).read()
        assert "GRANT SELECT ON the table" in str(caught.value.hint)
    finally:
        tables.server.run(f"REVOKE ALL ON SCHEMA {tables.schema} FROM {role}; DROP ROLE {role}")


def test_a_server_that_is_not_there_or_refuses_the_login_is_said_without_the_password(
    tables: Tables, shops: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2/?@")
    closed = f"postgresql://me:${{SECRET}}@127.0.0.1:{free_port()}/shop"
    wrong = f"postgresql://postgres:${{SECRET}}@127.0.0.1:{tables.server.port}/postgres"
    nowhere = tables.server.url.replace("/postgres?", "/elsewhere?")
    cases: list[tuple[str, type[FeatureStoreError], int, str]] = [
        (closed, UnreachableError, 12, "can't be reached: Connection refused"),
        (wrong, ConfigError, 2, "the server rejected the login"),
        (nowhere, ConfigError, 2, "does not exist"),
    ]
    for url, kind, code, message in cases:
        shop = shops(tables.source(url=url))
        with pytest.raises(kind) as caught:
            shop.read()
        assert message in str(caught.value)
        assert caught.value.exit_code == code
        assert caught.value.hint
        assert "hunter2" not in f"{caught.value}{caught.value.hint}{shop.source!r}{shop.source.location}"
    with pytest.raises(ConfigError, match=r"sources\.visits\.url has a parameter that PostgreSQL does not know"):
        shops(tables.source(url=f"{tables.url}&hunter2=1")).read()


def test_settings_that_contradict_each_other_are_refused(tables: Tables, shops: Shops) -> None:
    for more, message in (
        ("", "table or query says what to read"),
        ('table = "a"\nquery = "SELECT 1"', "table or query says what to read"),
        ('table = "a"\npath = "b"', "path"),
    ):
        with pytest.raises(ConfigError, match=message):
            shops(tables.source(more))
    with pytest.raises(ConfigError, match=r"sources\.visits\.url is missing"):
        shops('type = "postgresql"\ntable = "visits"')
    with pytest.raises(UsageError, match="--input can't take the place of source visits"):
        shops(tables.source()).open("other.csv")


def test_rows_that_change_while_they_are_read_are_those_of_one_moment(
    tables: Tables, shops: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.run("CREATE TABLE visits (id text, n int); INSERT INTO visits SELECT i, 1 FROM generate_series(1, 1000) i")
    carry = reading.carry

    def changed_before(*arguments: Any) -> Any:
        tables.run("UPDATE visits SET n = 2; INSERT INTO visits VALUES ('late', 2); DELETE FROM visits WHERE id = '7'")
        return carry(*arguments)

    monkeypatch.setattr(reading, "carry", changed_before)
    frame = shops(tables.source()).read().frame
    assert (frame.height, frame["n"].sum()) == (1000, 1000)


def test_no_more_rows_are_asked_for_than_a_preview_shows(tables: Tables, shops: Shops) -> None:
    tables.run("CREATE TABLE visits (id text); INSERT INTO visits SELECT i FROM generate_series(1, 20000) i")
    found = preview(shops(tables.source()).project, "visits", 3)
    assert (found.frame.height, found.whole) == (3, False)
    assert found.rows_read < 20_000


PROJECT = {
    "features/visits.py": """
        import polars as pl
        from featurestore import feature

        @feature(entity_type="one", data_type="float", source="visits")
        def score() -> pl.Expr:
            return pl.col("n") / 2
    """,
}


def use(project: Folder, source: str) -> Folder:
    toml = f'[project]\nname = "shop"\n[entity_types.one]\nkeys = {{ id = "string" }}\n[sources.visits]\n{source}\n'
    project.write({"featurestore.toml": toml, **PROJECT})
    return project


def held(project: Folder) -> list[tuple[Any, ...]]:
    project.run("export", "score", "--output", str(project.root / "held.parquet"))
    rows = pl.read_parquet(project.root / "held.parquet").sort("ingested_at", maintain_order=True)
    latest = rows.unique(["id", "computed_at"], keep="last").with_columns(
        pl.col("computed_at").dt.replace_time_zone(None)
    )
    stands = latest.filter(pl.col("value").is_not_null())  # a pair that was withdrawn has none
    return sorted(stands.select("id", "computed_at", "value").rows())


def judge(tables: Tables) -> list[tuple[Any, ...]]:
    return sorted(tables.rows("SELECT id, at AT TIME ZONE 'UTC' AS at, n::float8 / 2 FROM visits"))


def test_a_run_takes_what_is_new_and_a_run_over_the_same_rows_takes_nothing(tables: Tables, folder: Folder) -> None:
    tables.run(
        "CREATE TABLE visits (id text, at timestamptz, n int); INSERT INTO visits "
        "SELECT i % 50, '2024-01-01'::timestamptz + i * interval '1 h', i FROM generate_series(1, 500) i"
    )
    project = use(folder, tables.source('table = "visits"\nevent_time = "at"'))
    assert project.run("ingest", "--dry-run", "--json").json["features"][0]["rows_written"] == 500
    assert project.run("runs", "--json").json["runs"] == []
    assert project.run("ingest", "--json").json["features"][0]["rows_written"] == 500
    again = project.run("ingest", "--json").json["features"][0]
    assert (again["status"], again["rows_written"]) == ("unchanged", 0)
    tables.run("UPDATE visits SET n = -1 WHERE id = '7' AND n = 7; INSERT INTO visits VALUES ('new', '2024-02-01', 9)")
    (changed,) = project.run("ingest", "--json").json["features"]
    assert (changed["rows_written"], changed["rows_corrected"], changed["rows_computed"]) == (1, 1, 2)
    assert held(project) == judge(tables)


def test_a_reading_that_breaks_off_takes_nothing_and_the_next_run_everything(tables: Tables, folder: Folder) -> None:
    tables.run(
        "CREATE TABLE visits (id text, at timestamptz, n int); INSERT INTO visits "
        "SELECT i, '2024-01-01'::timestamptz, i FROM generate_series(1, 60000) i; "
        "CREATE VIEW slow AS SELECT *, pg_sleep(CASE WHEN n = 59000 THEN 30 ELSE 0 END)::text AS slept FROM visits; "
        "CREATE VIEW wrong AS SELECT id, at, 1 / (59000 - n) AS n FROM visits"
    )
    project = use(folder, tables.source('table = "slow"\nevent_time = "at"'))

    def end_it() -> None:
        ended = False
        while not ended:
            ended = bool(tables.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%slept%' "
                "AND wait_event = 'PgSleep'"
            ))  # fmt: skip

    ending = threading.Thread(target=end_it)
    ending.start()
    failed = project.run("ingest", "--json", code=4).json["features"][0]
    ending.join()
    assert "the connection was lost" in failed["error"]["message"]
    assert "nothing was taken" in failed["error"]["hint"]
    use(project, tables.source('table = "wrong"\nevent_time = "at"'))
    failed = project.run("ingest", "--json", code=4).json["features"][0]
    assert "division by zero" in failed["error"]["message"]
    assert [run["status"] for run in project.run("runs", "--json").json["runs"]] == ["failed", "failed"]
    use(project, tables.source('table = "visits"\nevent_time = "at"'))
    assert project.run("ingest", "--json").json["features"][0]["rows_written"] == 60_000
    assert held(project) == judge(tables)


def test_doctor_says_of_each_server_what_works(tables: Tables, folder: Folder) -> None:
    tables.run("CREATE TABLE visits (id text, at timestamptz, n int, photo bytea)")
    project = use(folder, tables.source('table = "visits"\nevent_time = "at"'))
    checks = [item for item in project.run("doctor", "--json", code=0).json["checks"] if item["area"] == "sources"]
    assert [(item["state"], item["what"].split(" PostgreSQL")[0]) for item in checks] == [
        ("ok", "visits: table visits in"),
        ("warn", "visits: left out, since they can't be carried: photo (bytea)"),
    ]
    use(project, tables.source('table = "visit"\nevent_time = "at"'))
    checks = [item for item in project.run("doctor", "--json", code=1).json["checks"] if item["area"] == "sources"]
    assert [(item["state"], item["what"], item["hint"]) for item in checks] == [
        ("fail", "source visits: there is no table 'visit'", "did you mean 'visits'?")
    ]


def test_without_its_drivers_the_extra_is_named(tables: Tables, shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("reading", "server"):
        monkeypatch.delitem(sys.modules, f"featurestore.sources.postgresql.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delattr("featurestore.sources.postgresql.reading", raising=False)
    with pytest.raises(SourceError, match="needs the package psycopg, which is not installed") as caught:
        shops(tables.source()).offer()
    assert caught.value.hint == "pip install 'featurestore[postgres]'"
