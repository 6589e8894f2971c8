"""``init --from``: the project that is proposed can be ingested at once, and what the data leaves open is refused."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from featurestore.sources.detection import Question
from featurestore.workflows.init import init
from featurestore.workflows.init_from import Wishes
from tests.conftest import Folder

VISITS = pl.DataFrame(
    {
        "patient_id": ["a", "a", "b"],
        "visit_at": [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
        "chol": [201.5, 233.0, None],
        "sex": ["F", "F", "M"],
    }
)


def german(path: Path) -> None:
    text = "Auszug\n\nNr.;am;größe;ok\n1;31.12.2024 13:05;1,75;ja\n1;1.1.2025 00:00;-;nein\n2;21.1.2025 00:00;2,5;ja\n"
    path.write_bytes(text.encode("cp1252"))


def sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE visits (patient_id TEXT, visit_at TEXT, chol REAL, sex TEXT)")
        rows = [(a, f"{b:%Y-%m-%d %H:%M:%S}", c, d) for a, b, c, d in VISITS.rows()]
        database.executemany("INSERT INTO visits VALUES (?, ?, ?, ?)", rows)
        database.commit()


def duck(path: Path) -> None:
    with closing(duckdb.connect(str(path))) as database:
        database.execute("CREATE TABLE visits (patient_id TEXT, visit_at TIMESTAMP, chol DOUBLE, sex TEXT)")
        rows = [(a, b.replace(tzinfo=None), c, d) for a, b, c, d in VISITS.rows()]
        database.executemany("INSERT INTO visits VALUES (?, ?, ?, ?)", rows)


def folder_of_partitions(path: Path) -> None:
    for year, rows in (("2023", VISITS.head(1)), ("2024", VISITS.tail(2))):
        (path / f"year={year}").mkdir(parents=True)
        rows.write_parquet(path / f"year={year}" / "part.parquet")


DATA: dict[str, Callable[[Path], object]] = {
    "german.csv": german,
    "visits.csv": VISITS.write_csv,
    "visits.parquet": VISITS.write_parquet,
    "visits.arrow": VISITS.write_ipc,
    "visits.jsonl": VISITS.write_ndjson,
    "visits.sqlite": sqlite,
    "visits.duckdb": duck,
    "visits": folder_of_partitions,
    "epochs.csv": lambda path: path.write_text("user_id,ts,n\n1,1700000000,1\n1,1700000500,2\n2,1700000600,3\n"),
    "us.csv": lambda path: path.write_text("user_id,day,n\n1,12/31/2024,1\n1,1/2/2025,2\n"),
    "untimed.csv": lambda path: path.write_text("user_id,age\n1,40\n2,50\n"),
    "only_times.csv": lambda path: path.write_text("user_id,at\n1,2024-01-01\n2,2024-01-02\n"),
    "twice.csv": lambda path: path.write_text("user_id,at,x\n1,2024-01-01,1\n1,2024-01-01,2\n"),
    "no_header.csv": lambda path: path.write_text("a,2024-01-01,1.5\nb,2024-01-02,2.5\n"),
    "nulls.csv": lambda path: path.write_text("id,at,x\n1,2024-01-01,NULL\n2,2024-01-02,3\n3,NULL,4\n4,2024-01-03,5\n"),
}


@pytest.mark.parametrize("name", DATA)
def test_what_is_proposed_can_be_ingested_at_once(folder: Folder, name: str) -> None:
    path = folder.root / name
    DATA[name](path)
    wishes = {"no_header.csv": ["--key", "column_1"]}.get(name, [])
    shop = Folder(folder.root / "shop", folder._capture)
    shown = folder.run("init", str(shop.root), "--from", str(path), *wishes).out
    assert "found:" in shown
    done = shop.json("ingest", code=3 if name == "nulls.csv" else 0)
    assert len(done["features"]) == 3
    assert {item["status"] for item in done["features"]} == {"ok"}
    assert all(item["rows_written"] for item in done["features"])


def test_the_settings_that_the_data_needs_are_proposed_and_shown(folder: Folder) -> None:
    german(folder.root / "german.csv")
    folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "german.csv"))
    settings = (folder.root / "shop" / "featurestore.toml").read_text(encoding="utf-8")
    for line in (
        'path = "../german.csv"', 'delimiter = ";"', 'encoding = "cp1252"', "skip_rows = 2", 'decimal = ","',
        'null = ["-"]', 'true = ["ja"]', 'false = ["nein"]', 'event_time = "am"', 'keys = { nr = "int" }',
        'nr = { type = "int", rename = "Nr." }', 'am = { type = "datetime", format = "%d.%m.%Y %H:%M", null = false }',
    ):  # fmt: skip
        assert line in settings


@pytest.mark.parametrize("title", ["Visits of 2024,,", ",,\nVisits of 2024,,", ",,"])
def test_a_title_that_has_the_fields_of_a_spreadsheet_is_skipped(folder: Folder, title: str) -> None:
    (folder.root / "visits.csv").write_text(f"{title}\nuser_id,at,x\n1,2024-01-01,3\n2,2024-01-02,4\n")
    looked = folder.json("preview", str(folder.root / "visits.csv"))
    assert looked["dialect"] == {"skip_rows": title.count("\n") + 1}
    assert [column["name"] for column in looked["columns"]] == ["user_id", "at", "x"]


def test_rows_with_one_value_are_no_title_where_no_header_follows(folder: Folder) -> None:
    (folder.root / "sparse.csv").write_text("a,,\n1,2,3\n4,5,6\n")
    assert folder.json("preview", str(folder.root / "sparse.csv"))["dialect"] == {}


OPEN: dict[str, tuple[str, Sequence[str], str, str]] = {
    "day or month": (
        "user_id,day,n\n1,1/2/2024,1\n", ["--format-of", "day=%d/%m/%Y"], "is it day or month first?", "%m/%d/%Y",
    ),
    "year, day or month": (
        "user_id,day,n\n1,24-01-02,1\n", ["--format-of", "day=%y-%m-%d"], "is it year, day or month first?",
        "day=%d-%m-%y",
    ),
    "two times": (
        "user_id,made_at,paid_at\n1,2024-01-01,2024-01-02\n", ["--event-time", "paid_at"],
        "made_at, paid_at could be the time", "--event-time made_at",
    ),
    "two keys": (
        "user_id,shop_id,n\n1,1,5\n", ["--key", "shop_id"], "user_id, shop_id could be the key", "--key user_id",
    ),
    "no key": ("name,n\nx,5\n", ["--key", "name"], "no column is named like a key", "--key name"),
    "decimal or thousands": (
        'user_id,n\n1,"1,234"\n', ["--decimal", "."], "a number with decimals", '--decimal ","',
    ),
    "points of a file with semicolons": (
        "user_id;n\n1;1.500\n2;12\n", ["--decimal", ","], 'is 1.500 in n a number with decimals (decimal = ".")',
        '--decimal "." or --decimal ","',
    ),
    "points beside dates with points": (
        "user_id,day,n\n1,31.12.2024,37.036\n", ["--decimal", "."], "is 37.036 in n", '--decimal ","',
    ),
    "both marks before three digits": (
        'user_id,a,b\n1,1.500,"1,500"\n', ["--decimal", "."], "in a a number with decimals", '--decimal ","',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OPEN)
def test_what_the_data_leaves_open_is_refused_with_the_flag_or_asked(folder: Folder, case: str) -> None:
    text, flags, said, hint = OPEN[case]
    path = folder.root / "data.csv"
    path.write_text(text, encoding="utf-8")
    shop = folder.root / "shop"
    refused = folder.run("init", str(shop), "--from", str(path), code=2).err
    assert said in refused
    assert hint in refused
    assert not shop.exists()
    asked: list[Question] = []

    def answer(question: Question) -> str:
        asked.append(question)
        return question.choices[-1]

    assert init(shop, data=path, dry_run=True, ask=answer).proposal is not None
    assert len(asked) == 1
    folder.run("init", str(shop), "--from", str(path), *flags)
    Folder(shop, folder._capture).run("ingest")


def test_a_decimal_that_is_said_decides_what_1_234_is(folder: Folder) -> None:
    path = folder.root / "data.csv"
    path.write_text('user_id,n\n1,"1,234"\n', encoding="utf-8")
    for decimal, kind in ((",", "float"), (".", "int")):
        made = init(folder.root / "shop", data=path, dry_run=True, wishes=Wishes(decimal=decimal)).proposal
        assert made is not None
        assert f'n = {{ type = "{kind}" }}' in made.settings


@pytest.mark.parametrize(
    ("text", "decimal", "kind"),
    [
        ("user_id;n\n1;1.500\n2;12.5\n", ".", "float"),  # 12.5 has decimals, so 1.500 has
        ("user_id;n\n1;1.500\n2;0.500\n", ".", "float"),  # nobody writes 0 thousand
        ("user_id;n;x\n1;1.500;2,5\n", ",", "int"),  # another column says what the points are
        ("user_id;n\n1;1.500\n2;1.234.567\n", ",", "int"),
    ],
)
def test_what_points_are_is_not_asked_where_another_number_shows_it(
    folder: Folder, text: str, decimal: str, kind: str
) -> None:
    (folder.root / "data.csv").write_text(text, encoding="utf-8")
    made = init(folder.root / "shop", data=folder.root / "data.csv", dry_run=True).proposal
    assert made is not None
    assert f'n = {{ type = "{kind}"' in made.settings
    assert ('decimal = ","' in made.settings) == (decimal == ",")


def test_three_decimals_where_points_are_usual_are_said_and_read_as_decimals(folder: Folder) -> None:
    (folder.root / "data.csv").write_text("user_id,weight\n1,70.125\n2,81.500\n", encoding="utf-8")
    said = folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "data.csv")).out
    assert "70.125 in weight is read as a number with decimals" in said
    assert 'weight = { type = "float"' in (folder.root / "shop/featurestore.toml").read_text()
    assert any("70.125 in weight" in each for each in folder.json("preview", str(folder.root / "data.csv"))["warnings"])


def test_an_answer_is_written_down_and_not_asked_of_again(folder: Folder) -> None:
    lines = "".join(f"{number};2024-01-0{number};{number}.500\n" for number in range(1, 6))
    (folder.root / "data.csv").write_text(f"user_id;at;price\n{lines}", encoding="utf-8")
    folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "data.csv"), "--decimal", ".")
    assert 'decimal = "."' in (folder.root / "shop/featurestore.toml").read_text()
    assert "thousands" not in folder.run("-C", str(folder.root / "shop"), "ingest").err


def test_a_decimal_that_is_said_and_makes_text_of_numbers_is_said(folder: Folder) -> None:
    (folder.root / "data.csv").write_text("user_id,n,i\n1,1.5,1\n", encoding="utf-8")
    said = folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "data.csv"), "--decimal", ",").out
    assert 'n is text: 1.5 is no number with decimal = ","' in said


def test_numbers_of_json_are_as_programs_write_them(folder: Folder) -> None:
    rows = '{"user_id": 1, "day": "31.12.2024", "n": 1.500, "text": "1.5"}\n'
    (folder.root / "data.jsonl").write_text(rows, encoding="utf-8")
    folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "data.jsonl"))
    assert 'n = { type = "float"' in (folder.root / "shop/featurestore.toml").read_text()


MANY = "id;kunde;am;betrag\n" + "".join(f"{n};k{n % 7};{1 + n % 28:02d}.02.2026;{n},5\n" for n in range(500))


@pytest.mark.parametrize(
    ("more", "said", "rejected"),
    [
        (";;Summe;4,0\n", "'Summe' in row 501", 1),
        ("500;k1;01.02.2026;#DIV/0!\n", "'#DIV/0!' in row 501", 1),
        ("500;k1;01.02.2026;-\n501;k1;31.02.2026;1,5\n", "'31.02.2026' in row 502", 1),
    ],
)
def test_a_few_values_unlike_all_others_decide_no_type(folder: Folder, more: str, said: str, rejected: int) -> None:
    folder.write({"data.csv": MANY + more})
    shop = folder.root / "shop"
    flags = ("--key", "kunde", "--event-time", "am")
    out = folder.run("init", str(shop), "--from", str(folder.root / "data.csv"), *flags).out
    assert said in " ".join(out.split())
    settings = (shop / "featurestore.toml").read_text()
    assert 'format = "%d.%m.%Y"' in settings
    assert 'betrag = { type = "float"' in settings
    done = Folder(shop, folder._capture).json("ingest", code=3)
    assert {each["rows_rejected"] for each in done["features"]} == {rejected}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([*map(str, range(1000, 1499)), "01067"], "string"),  # a zip code
        ([*map(str, range(1000, 1499)), "B-17"], "string"),  # another code
        ([*map(str, range(1000, 1499)), "Summe"], "int"),
        ([*map(str, range(1000, 1019)), "n"], "int"),
        ([*map(str, range(1000, 1009)), "n"], "string"),  # too few to say what is usual
        (["yes", "no"] * 30, "string"),
    ],
)
def test_a_column_is_text_where_the_odd_value_may_be_a_code(folder: Folder, values: list[str], kind: str) -> None:
    folder.write({"data.csv": "user_id,code\n" + "".join(f"{n},{each}\n" for n, each in enumerate(values))})
    made = init(folder.root / "shop", data=folder.root / "data.csv", dry_run=True).proposal
    assert made is not None
    kind = "bool" if values[0] == "yes" else kind
    assert f'code = {{ type = "{kind}"' in made.settings


def test_each_value_of_a_key_counts(folder: Folder) -> None:
    values = [*map(str, range(1000, 1499)), "Summe"]
    folder.write({"data.csv": "kunde,x\n" + "".join(f"{each},1.5\n" for each in values)})
    folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "data.csv"), "--key", "kunde")
    shop = Folder(folder.root / "shop", folder._capture)
    assert 'kunde = "string"' in (shop.root / "featurestore.toml").read_text()
    assert {each["rows_rejected"] for each in shop.json("ingest")["features"]} == {0}


@pytest.mark.parametrize(
    ("value", "flags", "said"),
    [
        ("46066", ["--event-time", "am"], "46066 may be a spreadsheet's number for 2026-02-13"),
        ("13. Februar 2026", ["--event-time", "am"], "names of months in English"),
        ("13. Februar 2026", ["--format-of", "am=%d. %B %Y"], "is not written as %d. %B %Y, and no other value is"),
        ("13.02.2026", ["--format-of", "am=%d/%m/%Y"], '--format-of "am=%d.%m.%Y" reads 1 of the first 1'),
    ],
)
def test_what_is_no_time_is_refused_with_its_value(folder: Folder, value: str, flags: list[str], said: str) -> None:
    folder.write({"data.csv": f"id;kunde;am;betrag\n1;a;{value};1,5\n"})
    asked = ("init", str(folder.root / "shop"), "--from", str(folder.root / "data.csv"), "--key", "kunde", *flags)
    assert said in " ".join(folder.run(*asked, code=2).err.split())


def test_a_format_that_does_not_fit_all_rows_is_said(folder: Folder) -> None:
    folder.write({"data.csv": "id;kunde;am;betrag\n1;a;01.02.2026;1,5\n2;a;02/02/2026;1,5\n"})
    asked = ("init", str(folder.root / "shop"), "--from", str(folder.root / "data.csv"), "--key", "kunde")
    said = folder.run(*asked, "--format-of", "am=%d.%m.%Y").out
    assert "'02/02/2026' in am is not written as %d.%m.%Y: 1 of 2 rows" in said
    assert Folder(folder.root / "shop", folder._capture).json("ingest", code=3)["features"][0]["rows_rejected"] == 1


@pytest.mark.parametrize(
    "flags", [["--key", " id "], ["--key", "id"], ["--key", "id, kunde"], ["--key", " id , kunde "]]
)
def test_columns_are_named_as_they_are_called_or_without_the_spaces_at_their_ends(
    folder: Folder, flags: list[str]
) -> None:
    folder.write({"data.csv": " id ; kunde ;am,um\n1;a;2026-02-13\n2;b;2026-02-14\n"})
    asked = ("init", str(folder.root / "shop"), "--from", str(folder.root / "data.csv"), "--event-time", "am,um")
    assert "' id ', ' kunde '" in folder.run(*asked, "--key", "am,um", code=2).err
    folder.run(*asked, *flags)
    Folder(folder.root / "shop", folder._capture).run("ingest")


def test_a_name_twice_in_a_header_is_no_row(folder: Folder) -> None:
    folder.write({"data.csv": "id;kunde;am;betrag;betrag\n1;a;01.02.2026;1,5;2,5\n"})
    for words in (["init", str(folder.root / "shop"), "--key", "kunde", "--from"], ["preview"]):
        refused = folder.run(*words, str(folder.root / "data.csv"), code=4).err
        assert "the header names 'betrag' 2 times" in refused
    folder.write({"data.csv": "a;a;b\na;b;b\n"})
    assert folder.json("preview", str(folder.root / "data.csv"))["dialect"]["header"] is False


def test_a_sample_of_a_large_file_proposes_its_rules_as_comments(folder: Folder) -> None:
    path = folder.root / "big.csv"
    rows = (f"{at % 50},2024-01-{at % 28 + 1:02},{at}.5,{'FM'[at % 2]}\n" for at in range(90_000))
    path.write_text("user_id,at,x,sex\n" + "".join(rows), encoding="utf-8")
    made = init(folder.root / "shop", data=path, dry_run=True).proposal
    assert made is not None
    assert 'sex = { type = "string" }  # null = false, in = ["F", "M"]' in made.settings
    assert ".over(" in made.features


@pytest.mark.parametrize(
    ("texts", "rule"),
    [
        (["north", "south"] * 30, 'in = ["north", "south"]'),
        (["north", "south"] * 10, None),  # too few rows to know
        (["north"] * 59 + ["south"], None),  # what came once may be one of many
        (["came late, was angry about it", "fine"] * 30, None),
        (["a remark of more than thirty letters", "fine"] * 30, None),
    ],
)
def test_a_few_texts_are_a_rule_where_they_are_categories(texts: list[str], rule: str | None, folder: Folder) -> None:
    path = folder.root / "data.csv"
    rows = (f'{at},2024-01-{at % 28 + 1:02},"{text}"\n' for at, text in enumerate(texts))
    path.write_text("user_id,at,region\n" + "".join(rows), encoding="utf-8")
    made = init(folder.root / "shop", data=path, dry_run=True).proposal
    assert made is not None
    (line,) = (line for line in made.settings.splitlines() if line.startswith("region = "))
    assert line == f'region = {{ type = "string", null = false{", " + rule if rule else ""} }}'


@pytest.mark.parametrize("text", ["", "a,b\n"])
def test_data_without_rows_is_refused(folder: Folder, text: str) -> None:
    (folder.root / "empty.csv").write_text(text)
    refused = folder.run(
        "init", str(folder.root / "shop"), "--from", str(folder.root / "empty.csv"), code=2 if text else 4
    )
    assert "empty.csv: " in refused.err
    assert "rows" in refused.err.partition("hint:")[2]


def test_a_project_is_not_proposed_over_another_one(project: Folder) -> None:
    assert "is a project already" in project.run("init", str(project.root), "--from", "x.csv", code=2).err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--key", "id"], "these options describe data"),
        (["--from", "x.csv", "--demo"], "--demo brings its own data"),
        (["--from", "x.csv", "--timezone", "Mars"], "is not a time zone"),
        (["--from", "x.csv", "--decimal", ";"], "--decimal is"),
        (["--from", "x.csv", "--format-of", "at"], "is not COLUMN=FORMAT"),
        (["--from", "x.csv", "--format-of", "at=%Q"], "which is not known"),
        (["--from", "x.csv", "--source", "My Source"], "--source must match"),
        (["--from", "nowhere.csv"], "no such file or folder"),
    ],
)
def test_options_that_can_mean_nothing_are_refused(folder: Folder, flags: list[str], said: str) -> None:
    assert said in folder.run("init", str(folder.root / "shop"), *flags, code=2).err


def test_a_pipe_is_named_as_what_it_is(folder: Folder) -> None:
    os.mkfifo(folder.root / "data.csv")
    refused = folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "data.csv"), code=2)
    assert "is a pipe or a device" in refused.err
    assert "write it to a file" in refused.err


def test_new_adds_a_feature_that_can_be_ingested(project: Folder) -> None:
    assert project.json("new", "fresh", "--dry-run")["path"] == "features/fresh.py"
    assert not (project.root / "features" / "fresh.py").exists()
    project.run("new", "fresh")
    assert project.features("fresh")["fresh"]["status"] == "ok"
    assert "there is fresh already" in project.run("new", "fresh", code=2).err
    assert "is not a name for a feature" in project.run("new", "Fresh!", code=2).err
    assert "did you mean" in project.run("new", "other", "--source", "visit", code=2).err


def test_on_a_terminal_it_asks_until_an_answer_is_one_of_the_choices(folder: Folder) -> None:
    data = "user_id,made_at,paid_at,x\x1b[31m_at\n1,2024-01-01,2024-01-02,2024-01-02\n"
    (folder.root / "data.csv").write_text(data, encoding="utf-8")
    main, child = pty.openpty()
    command = [sys.executable, "-m", "featurestore", "init", "shop", "--from", str(folder.root / "data.csv")]
    with subprocess.Popen(
        command, cwd=folder.root, stdin=child, stdout=child, stderr=child, start_new_session=True
    ) as process:
        os.close(child)
        os.write(main, b"neither\n2\n")
        said = b""
        with suppress(OSError):  # the terminal is gone with its last writer
            while block := os.read(main, 65_536):
                said += block
        os.close(main)
    assert process.returncode == 0, said.decode()
    assert said.count(b"could be the time") == 1
    assert b"neither is none of them: answer with its number" in said
    assert b"\x1b[31m_at" not in said, "data gives a terminal no commands"
    assert b"  3  x\\x1b[31m_at" in said
    assert 'event_time = "paid_at"' in (folder.root / "shop/featurestore.toml").read_text()
    Folder(folder.root / "shop", folder._capture).run("ingest")


def test_text_that_turns_the_direction_of_writing_is_written_out_in_the_settings(folder: Folder) -> None:
    evil, tag = "\u202eevil", "\U000e0041x"
    rows = "".join(f"p{n % 7},2024-01-{1 + n % 28:02d}T00:00:00Z,{evil if n % 2 else tag}\n" for n in range(100))
    folder.write({"visits.csv": f"patient_id,visit_at,word\n{rows}"})
    folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "visits.csv"))
    text = (folder.root / "shop" / "featurestore.toml").read_text()
    assert text.replace("\n", "").isprintable()
    assert set(tomllib.loads(text)["sources"]["visits"]["columns"]["word"]["in"]) == {evil, tag}
    assert Folder(folder.root / "shop", folder._capture).run("ingest").code == 0


ORDERS = "order_id,customer,at,amount\n" + "".join(f"{at},c{at % 3},2024-01-0{at % 5 + 1},{at}.5\n" for at in range(20))


def test_a_column_that_tells_rows_apart_is_their_id_and_no_feature(folder: Folder) -> None:
    folder.write({"orders.csv": ORDERS})
    said = folder.run(
        "init", str(folder.root / "shop"), "--from", str(folder.root / "orders.csv"), "--key", "customer"
    ).out
    assert 'id = ["order_id"]  # tells one row from another' in said
    assert "order_id" not in (folder.root / "shop/features/orders.py").read_text()
    assert "own order_id" not in said
    folder.run("-C", str(folder.root / "shop"), "ingest")


def test_where_each_row_has_a_key_of_its_own_that_is_said(folder: Folder) -> None:
    folder.write({"orders.csv": ORDERS})
    said = folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "orders.csv")).out
    assert "each row has its own order_id: if rows are events of another entity, name it: --key customer" in said


def test_the_flag_to_paste_is_quoted(folder: Folder) -> None:
    folder.write({"orders.csv": "Customer Name,at,amount\na,2024-01-01,1\nb,2024-01-02,2\n"})
    said = folder.run("init", str(folder.root / "shop"), "--from", str(folder.root / "orders.csv"), code=2).err
    assert "--key 'Customer Name'" in said


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_which_table_of_several_it_is_is_asked_and_elsewhere_refused(kind: str, folder: Folder) -> None:
    path = folder.root / f"data.{kind}"
    rows = (
        "CREATE TABLE orders (user_id TEXT, n INT); INSERT INTO orders VALUES ('a', 1); CREATE TABLE users (id TEXT);"
    )
    with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))) as connection:
        for statement in rows.split(";"):
            connection.execute(statement)
        connection.commit()
    asked: list[Question] = []

    def answer(question: Question) -> str:
        asked.append(question)
        return question.choices[0]

    proposed = init(folder.root / "shop", data=path, dry_run=True, ask=answer).proposal
    assert proposed is not None
    assert 'table = "orders"' in proposed.settings
    assert (asked[0].text, asked[0].choices) == (f"which table of data.{kind} is it?", ("orders", "users"))
    refused = folder.run("init", str(folder.root / "shop"), "--from", str(path), code=2).err
    assert "has 2 tables: orders, users" in refused
    assert "name one with --table" in refused
