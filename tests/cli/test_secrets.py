# ruff: noqa: E501  (a table reads better in rows)
"""What a setting may hold is never printed or stored: a canary in 800 malformed projects, through many commands."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from featurestore.cli.app import run
from tests.conftest import AGE, VISITS, Folder
from tests.services import free_port, refusing

CANARY = "s3cr3tCANARY"
TRIALS = 800

# Urls as somebody types them who is in a hurry; {c} is the password, {p} a port on which nobody listens.
URLS = (
    "redis:/:{c}@127.0.0.1:{p}", "redis//:{c}@127.0.0.1:{p}", ":{c}@127.0.0.1:{p}", "redis:{c}@127.0.0.1",
    "redis://:{c}@127.0.0.1:x", "redis://:{c}@127.0.0.1:{p}/x", "redis://:{c}/y@127.0.0.1:{p}/0",
    "redis://:a?{c}@127.0.0.1:{p}/0", "redis://:a#{c}@127.0.0.1:{p}/0", "redis://[{c}@127.0.0.1:{p}",
    "redis://127.0.0.1:{p}/0?password={c}&nonsense=1", "redis://127.0.0.1:{p}/0?socket_timeout={c}",
    "redis://127.0.0.1:{p}/0?db={c}", "redis://127.0.0.1:{p}/{c}", "redis://127.0.0.1:{c}/0", "rediss:{c}",
    "{c}://127.0.0.1:{p}/0", "{c}", "{c}:{c}", "{c}@", "memcached://u:{c}@127.0.0.1", "redis+sentinel://:{c}@h/0",
    "unix://:{c}@", "unix://{c}?db=x", "redis+cluster://:{c}@127.0.0.1:x", "rediss://:{c}@127.0.0.1?ssl_cert_reqs={c}",
    "postgresql:/u:{c}@127.0.0.1/f", "postgresql//u:{c}@127.0.0.1/f", "postgres:u:{c}@127.0.0.1/f",
    "postgresql://u:{c}@127.0.0.1:x/f", "postgresql://u:{c}/x@127.0.0.1/f", "postgresql://u:{c}%zz@127.0.0.1/f",
    "postgresql://u:x?{c}@127.0.0.1/f", "postgresql://127.0.0.1/f?{c}", "postgresql://127.0.0.1/f?{c}=1",
    "postgresql://127.0.0.1/f?connect_timeout={c}", "postgresql://127.0.0.1/f?sslmode={c}", "mysql://u:{c}@h/f",
    "postgresql://127.0.0.1:{p}/f?keepalives={c}", "postgresql://127.0.0.1:{c}/f", "postgresql://127.0.0.1,{c}:x/f",
    "postgresql://127.0.0.1/f?password={c}&sslmod=1", "postgresql://127.0.0.1/f?target_session_attrs={c}",
)  # fmt: skip
# Urls that parse, with the password in the place of something else: these get as far as the network.
MISPLACED = (
    "redis://{c}@127.0.0.1:{p}/0", "redis://:{c}@127.0.0.1:{p}/0", "redis://{c}:6379/0", "unix:///{c}/s", "unix:///s?db=1&{c}=1",
    "rediss://127.0.0.1:{p}/0?ssl_ca_certs={c}", "rediss://127.0.0.1:{p}/0?ssl_ca_certs=/{c}",
    "postgresql://{c}@127.0.0.1:{p}/f", "postgresql://u:{c}@127.0.0.1:{p}/f", "postgresql://127.0.0.1:{p}/{c}",
    "postgresql://{c}/f", "postgresql:///f?host={c}", "postgresql:///f?host=/{c}", "postgresql:///f?service={c}",
    "postgresql://127.0.0.1:{p}/f?sslrootcert={c}&sslmode=verify-full", "postgresql://127.0.0.1:{p}/f?options={c}",
    "postgresql://127.0.0.1:{p}/f?application_name={c}", "postgresql://127.0.0.1:{p}/f?passfile={c}",
)  # fmt: skip
# What stands in featurestore.toml instead of a right setting; {u} is a url, quoted.
PLACES = (
    "[online]\nurl = {u}", "[offline]\nurl = {u}", "[online]\nurl = [{u}]", "[offline]\nurl = {{ main = {u} }}",
    "[online]\n{u} = 1", "[offline]\n{u} = true", "[online.url]\n{u} = {u}", "[online]\nurl.{u} = 1", "[online.{u}]\na = 1",
    "[[online]]\nurl = {u}", "online = {u}", "offline = [{u}]", "{u} = 1\n[project]\nname = 'p'", "[{u}]\na = 1",
    "[offline]\nurl = 'postgresql://127.0.0.1:{p}/f'\npassword_file = {u}", "[offline]\npassword_file = [{u}]",
    "[offline]\nurl = {u}\nurl = {u}", "[offline]\nurl = {u}\n[offline]\nurl = {u}", "[online]\nurl = {u} x",
    "[online]\nurl = {raw}", "[online]\nurl = '''\n{raw}\n'''\n", "[online]\nurl = {u}\npassword = {u}", "[online.{u}]\na = 1\n[online.{u}]\na = 1",
    "[notify]\ncommand = [{u}]", "[notify]\n{u} = 1", "notify = {u}", "[notify]\ncommand = {u}\ntoken = {u}",
    "[offline]\nmemory = {u}", "[offline]\nmemory = [{u}]", "[versions]\nrequire_committed = {u}",
    "[drift]\nmethod = {u}", "[drift]\nthreshold = {u}", "[drift.features]\na = {u}", "[feature_sets]\na = {u}",
    "[sources.w]\ntype = {u}", "[sources.w]\ntype = 'csv'\npath = {u}\ntimezone = {u}", "[sources.w]\ntype = 'csv'\npath = [{u}]",
    "[sources.w]\ntype = 'csv'\npath = 'x'\ndelimiter = {u}", "[sources.{u}]\ntype = 'csv'", "[sources.w]\n{u} = 1\ntype = 'csv'\npath = 'x'",
    "[sources.w]\ntype = 'csv'\npath = 'x'\n[sources.w.columns]\na = {{ type = {u} }}",
    "[sources.w]\ntype = 'csv'\npath = 'x'\n[sources.w.columns]\na = {{ type = 'int', min = {u} }}",
    "[entity_types.{u}]\nkeys = {{ a = 'int' }}", "[entity_types.e]\nkeys = {{ a = {u} }}", "[entity_types.e]\nkeys = {{ {u} = 'int' }}",
    "[entity_types.e]\nkeys = {u}", "[feature_sets.{u}]\nfeatures = ['a']", "[feature_sets.s]\nfeatures = {u}",
)  # fmt: skip
LOCK = "[project]\nname = 'p'\nlock_timeout = {u}\n"
HEAD = "[project]\nname = 'p'\n"
REST = """
[entity_types.patient]
keys = { patient_id = "string" }
[sources.visits]
type = "csv"
path = "visits*.csv"
event_time = "visit_at"
"""
COMMANDS = (
    ["list"], ["show", "age_share"], ["runs"], ["plan"], ["lock"], ["check"], ["doctor"], ["ingest"], ["sync"], ["get", "patient", "1"],
    ["verify"], ["drift"], ["stats", "age_share"], ["export", "age_share"], ["history", "age_share", "1"], ["lineage"],
    ["join", "visits.csv", "-f", "age_share", "--timestamp-column", "visit_at"], ["delete", "patient", "1", "--yes"], ["dataset"],
)  # fmt: skip
OPTIONS: tuple[list[str], ...] = ([], ["--json"], ["-v"], ["--traceback"], ["--json", "--traceback", "-v"])


def trials(count: int) -> Iterator[tuple[str, dict[str, str]]]:
    """The text of a featurestore.toml and variables of the environment, each with the canary somewhere."""
    chance = random.Random(12)
    port = free_port()
    # A name that a table is given is a name, and shown.
    texts = [
        (place, url) for place, url in itertools.product(PLACES, URLS) if not (".{u}]" in place and "/" not in url)
    ]
    chance.shuffle(texts)
    urls = [url.format(c=CANARY, p=port) for url in URLS]
    for at, (place, template) in zip(range(count), itertools.cycle(texts)):
        url = template.format(c=CANARY, p=port)
        variables: dict[str, str] = {}
        if at % 8 == 6:  # the same by a variable, with or without a default
            variables, url = {"SETTING": url}, chance.choice(["${SETTING}", "${SETTING:-x}", "x${SETTING}"])
        elif at % 8 == 7:
            name = chance.choice(["ONLINE_URL", "OFFLINE_URL", "LOCK_TIMEOUT", "OFFLINE_MEMORY"])
            variables = {f"FEATURESTORE_{name}": chance.choice(urls)}
        quoted = chance.choice([json.dumps(url), f"'{url}'"])
        text = LOCK if at % 8 == 5 else HEAD if at % 8 == 7 else f"{HEAD}{place}\n"
        text = text.replace("{p}", str(port))
        yield (
            text.replace("{{", "{").replace("}}", "}").replace("{u}", quoted).replace("{raw}", url) + REST,
            variables,
        )


def commands() -> Iterator[list[str]]:
    return itertools.cycle(
        [[*command, *OPTIONS[at % len(OPTIONS)]] for at, command in enumerate(COMMANDS * len(OPTIONS))]
    )


def stored(root: Path) -> str:
    """All that stands in the files of a project but for the settings, and the names of them."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "featurestore.toml"]
    return "\n".join(f"{path.name}\n{path.read_bytes().decode('latin-1')}" for path in files)


Attempt = Callable[[str, dict[str, str], list[str]], str]


@pytest.fixture
def attempt(folder: Folder) -> Iterator[Attempt]:
    folder.write({"features/cardiac.py": AGE, "visits.csv": VISITS, "featurestore.toml": HEAD + REST})
    assert run(["-C", str(folder.root), "ingest", "-q"]) == 0

    def try_it(text: str, variables: dict[str, str], command: list[str]) -> str:
        (folder.root / "featurestore.toml").write_text(text, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            folder._capture()
            code = run(["-C", str(folder.root), *command])
        said = "".join(folder._capture())
        if code == 70 or CANARY in said:
            wrong.append(f"{text}\n{variables} {command} -> {code}\n{said}")
        return said

    wrong: list[str] = []
    yield try_it
    assert not wrong, f"{len(wrong)} trials\n" + "\n".join(wrong[:20])
    assert CANARY not in stored(folder.root)


def test_no_trial_of_a_malformed_setting_shows_it(attempt: Attempt) -> None:
    said = [attempt(*trial, command) for trial, command in zip(trials(TRIALS), commands(), strict=False)]
    assert sum("error: " in text for text in said) > TRIALS // 2


@pytest.mark.parametrize("url", MISPLACED)
def test_a_password_in_the_place_of_something_else_is_not_shown(attempt: Attempt, url: str) -> None:
    setting = "online" if url.startswith(("redis", "unix")) else "offline"
    text = f"{HEAD}[{setting}]\nurl = {json.dumps(url.format(c=CANARY, p=free_port()))}\n{REST}"
    for command in (["sync"], ["doctor"], ["get", "patient", "1"] if setting == "online" else ["runs", "--json", "-v"]):
        attempt(text, {}, [*command, "--traceback"])


@pytest.mark.parametrize(
    "answer", [f"-ERR unknown command 'AUTH' 'default' '{CANARY}'", "-WRONGPASS no", "HTTP/1.1 400 no"]
)
def test_what_a_server_answers_shows_nothing(attempt: Attempt, answer: str) -> None:
    with refusing(answer) as port:
        text = f'{HEAD}[online]\nurl = "redis://:{CANARY}@127.0.0.1:{port}/0"\n{REST}'
        attempt(text, {}, ["sync", "--traceback"])
        attempt(text, {}, ["get", "patient", "1", "--json"])


def test_a_defect_s_report_shows_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f'{HEAD}[online]\nurl = "redis://:{CANARY}@127.0.0.1:1/0"\n{REST}'
    folder.write({"featurestore.toml": text, "features/cardiac.py": AGE, "visits.csv": VISITS})

    def fail(*_: object) -> None:
        raise RuntimeError(f"redis://:{CANARY}@127.0.0.1")

    monkeypatch.setattr("featurestore.cli.commands.list.list_features", fail)
    ran = folder.run("list", "--json", "-v", code=70)
    assert CANARY not in ran.out + ran.err + stored(folder.root)
