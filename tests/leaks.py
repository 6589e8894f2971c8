"""Settings that hold a password: what a face prints of a project that has one is looked through for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

# Encoded or not, quoted or not: all of it but the signs around is the same.
CANARY = "s3cr3tCANARY"
PASSWORD = f"p/ä'{CANARY}@: \"%"
ENCODED = "p%2F%C3%A4%27s3cr3tCANARY%40%3A%20%22%25"

# By name: what stands in featurestore.toml. {p} is a port on which nobody listens, {c} the password in a url, {raw} as
# a text of TOML.
HOLDING = {
    "redis": "[online]\nurl = 'redis://:{c}@127.0.0.1:{p}/0'",
    "redis by its parameter": "[online]\nurl = 'redis://127.0.0.1:{p}/0?password={c}'",
    "redis with TLS": "[online]\nurl = 'rediss://user:{c}@127.0.0.1:{p}/0'",
    "a cluster": "[online]\nurl = 'redis+cluster://:{c}@127.0.0.1:{p}'",
    "a socket of redis": "[online]\nurl = 'unix://:{c}@/nowhere/redis.sock'",
    "the history": "[offline]\nurl = 'postgresql://u:{c}@127.0.0.1:{p}/f'",
    "the history by its parameter": "[offline]\nurl = 'postgresql://127.0.0.1:{p}/f?user=u&password={c}'",
    "the history by a file": "[offline]\nurl = 'postgresql://u@127.0.0.1:{p}/f'\npassword_file = 'secret'",
    "the key of a certificate": "[offline]\nurl = 'postgresql://u@127.0.0.1:{p}/f?sslpassword={c}&sslmode=require'",
    "a table": "[sources.more]\ntype = 'postgresql'\nurl = 'postgresql://u:{c}@127.0.0.1:{p}/f'\ntable = 't'",
    "a table by a file": (
        "[sources.more]\ntype = 'postgresql'\nurl = 'postgresql://u@127.0.0.1:{p}/f'\ntable = 't'\n"
        "password_file = 'secret'"
    ),
    "a topic": (
        "[sources.more]\ntype = 'kafka'\nbrokers = '127.0.0.1:{p}'\ntopic = 't'\nformat = 'json'\nstart = 'earliest'\n"
        "timeout = '1s'\n[sources.more.kafka]\nsecurity.protocol = 'SASL_PLAINTEXT'\nsasl.mechanisms = 'PLAIN'\n"
        "sasl.username = 'u'\nsasl.password = {raw}"
    ),
    "a key of a topic": (
        "[sources.more]\ntype = 'kafka'\nbrokers = '127.0.0.1:{p}'\ntopic = 't'\nformat = 'json'\nstart = 'earliest'\n"
        "timeout = '1s'\n[sources.more.kafka]\nsecurity.protocol = 'SSL'\nssl.key.location = 'secret'\n"
        "ssl.key.password = {raw}"
    ),
    "a registry of schemas": (
        "[sources.more]\ntype = 'kafka'\nbrokers = '127.0.0.1:{p}'\ntopic = 't'\nformat = 'avro'\nstart = 'earliest'\n"
        "timeout = '1s'\nregistry = 'http://u:{c}@127.0.0.1:{p}'"
    ),
    "a registry of schemas whose password is not encoded": (
        "[sources.more]\ntype = 'kafka'\nbrokers = '127.0.0.1:{p}'\ntopic = 't'\nformat = 'avro'\nstart = 'earliest'\n"
        "timeout = '1s'\nregistry = 'http://u:s3cr3tCANARY/x@127.0.0.1:{p}'"
    ),
    "whom to notify": "[notify]\ncommand = '/nowhere/notify --token s3cr3tCANARY'",
}  # fmt: skip
# What a server may repeat of a login: all of it in quotes, or as much as it has room for.
REPEATING = (
    f"-ERR unknown command 'AUTH' '{PASSWORD}'", f"-WRONGPASS invalid password {PASSWORD}",
    f"-ERR unknown command 'AUTH', with args beginning with: '{PASSWORD[:-3]}",
)  # fmt: skip
MORE = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", source="more")
def more_of_it() -> pl.Expr:
    return pl.col("x")
"""


ONLINE = [name for name, text in HOLDING.items() if "[online]" in text]
OFFLINE = [name for name, text in HOLDING.items() if "[offline]" in text]
OTHERS = [name for name in HOLDING if name not in (*ONLINE, *OFFLINE)]


def hold(root: Path, names: Sequence[str], port: int) -> None:
    """Gives a project settings with the password, and features of the sources that they are of."""
    toml = root / "featurestore.toml"
    (root / "secret").write_text(f"{PASSWORD}\n", encoding="utf-8")
    for at, name in enumerate(names):
        settings = HOLDING[name].format(c=ENCODED, p=port, raw=json.dumps(PASSWORD))
        settings = settings.replace("sources.more", f"sources.more{at}")
        toml.write_text(f"{toml.read_text(encoding='utf-8')}\n{settings}\n", encoding="utf-8")
        if "sources.more" in settings:
            code = MORE.replace('"more"', f'"more{at}"').replace("more_of_it", f"more_of_it{at}")
            (root / "features" / f"more{at}.py").write_text(code)


def stored(root: Path) -> str:
    """All that stands in the files of a project but for the settings that hold it, and their names."""
    holding = ("featurestore.toml", "secret")
    files = [path for path in root.rglob("*") if path.is_file() and path.name not in holding]
    return "\n".join(f"{path.name}\n{path.read_bytes().decode('latin-1')}" for path in files)
