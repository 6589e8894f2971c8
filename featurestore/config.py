"""featurestore.toml, read into a `Project`.

Owns finding the project folder, the precedence of settings (flag, ``FEATURESTORE_*`` variable, file,
default), ``${VAR}`` in values, and refusing what it does not know by name. Opens no store.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from featurestore.errors import ConfigError, NoProjectError, did_you_mean
from featurestore.frozen import dataclass
from featurestore.model import COLUMN_NAME, FEATURE_NAME, Column, EntityType, Key, Source

FILE = "featurestore.toml"
RESERVED_KEYS = {"entity_id", "value", "computed_at", "run_seq", "op", "ingested_at", "run_id", "tombstone"}
COLUMN_TYPES = ("bool", "int", "float", "string", "date", "datetime", "list[float]")
SOURCE_TYPES = ("csv", "parquet", "ndjson")

DRIFT_METHODS = (
    "jensenshannon", "psi", "kl_div", "hellinger", "wasserstein", "ed", "ks", "anderson", "cramer_von_mises", "es",
    "mannw", "t_test", "chisquare", "g_test", "z", "fisher_exact", "TVD",
)  # fmt: skip

_USER_PART = re.compile(r"[a-z+]+://(?:\$\{[^}]*\}|[^/?#@$])*@")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([MG]I?B)", re.IGNORECASE)
_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}
LEAST_MEMORY = 200_000_000
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class DriftRule:
    """What is said of drift for some features; None where the wider setting stands."""

    method: str | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """How an ingestion is compared with its reference: for the project, and where features or tags differ.

    ``threshold`` is on the scale of the score, 0 to 1; None stands for the method's own. ``sample`` is how
    many values of a run are kept at most.
    """

    method: str = "jensenshannon"
    threshold: float | None = None
    sample: int = 10_000
    features: Mapping[str, DriftRule] = field(default_factory=dict)
    tags: Mapping[str, DriftRule] = field(default_factory=dict)

    def of(self, feature: str, tags: Iterable[str] = ()) -> DriftSettings:
        """What holds for one feature: its own rule, else its first tag's that has one, else the project's.

        A rule that changes the method leaves no room for a threshold meant for another one.
        """
        method, threshold = self.method, self.threshold
        rules = [self.tags[tag] for tag in tags if tag in self.tags][:1]
        for rule in [*rules, self.features.get(feature, DriftRule())]:
            if rule.method not in (None, method):
                method, threshold = rule.method or method, None
            threshold = threshold if rule.threshold is None else rule.threshold
        return DriftSettings(method, threshold, self.sample)


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder and what its featurestore.toml says. Every workflow takes one.

    ``offline_url`` and ``online_url`` are None for the embedded defaults under `state`; the offline store's
    password may be in a file of its own. ``notify`` is the
    command that is told of drift. With ``require_committed`` only code whose version file is in git's HEAD is
    ingested. ``feature_sets`` are lists of feature references, by name. ``memory`` (bytes) is about what a join
    may take, whatever the size of the history.
    """

    root: Path
    name: str
    entity_types: Mapping[str, EntityType]
    sources: Mapping[str, Source]
    drift: DriftSettings
    offline_url: str | None = None
    online_url: str | None = None
    offline_password_file: Path | None = None
    memory: int = 2_000_000_000
    lock_timeout: float = 60.0
    notify: str | None = None
    require_committed: bool = False
    feature_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def features(self) -> Path:
        """The folder of feature modules."""
        return self.root / "features"

    @property
    def versions(self) -> Path:
        """The folder of version files: written by us, committed by the user."""
        return self.root / "features" / ".versions"

    @property
    def state(self) -> Path:
        """Local state, ignored by git."""
        return self.root / ".featurestore"

    @property
    def summary(self) -> Path:
        """What ``list`` may say of the stores without opening one."""
        return self.state / "summary.json"


def find_root(start: Path | None = None, named: str | None = None) -> Path:
    """The project folder: the named one, else ``FEATURESTORE_PROJECT``, else the nearest at or above.

    Raises NoProjectError.
    """
    wanted = named or os.environ.get("FEATURESTORE_PROJECT")
    if wanted:
        root = Path(wanted).expanduser().absolute()
        if (root / FILE).is_file():
            return root
        raise NoProjectError(f"no {FILE} in {root}", hint=f"run featurestore init {wanted}")
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise NoProjectError(f"no {FILE} in {here} or any folder above", hint="run featurestore init, or name one with -C")


def load_project(root: Path, *, lock_timeout: float | None = None, memory: str | None = None) -> Project:
    """Reads and checks ``root/featurestore.toml``; what is given here stands before what it says.

    Raises ConfigError naming the file and the key.
    """
    path = root / FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"can't be read: {exc}", where=str(path)) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"is not valid TOML: {exc}", where=str(path)) from exc
    top = _Table(data, str(path), "")
    top.allow("project", "offline", "online", "entity_types", "sources", "drift", "notify", "feature_sets", "versions")
    project = top.table("project", required=True).allow("name", "lock_timeout")
    offline = top.table("offline").allow("url", "password_file", "memory")
    entity_types = {name: _entity_type(name, table) for name, table in top.tables("entity_types")}
    return Project(
        root=root,
        name=_project_name(project),
        entity_types=entity_types,
        sources={name: _source(name, table) for name, table in top.tables("sources")},
        drift=_drift(top.table("drift").allow("method", "threshold", "sample", "features", "tags")),
        offline_url=_url("OFFLINE", offline),
        online_url=_url("ONLINE", top.table("online").allow("url")),
        offline_password_file=_file("password_file", offline, root),
        memory=_memory(memory, offline),
        lock_timeout=_lock_timeout(lock_timeout, project),
        require_committed=top.table("versions").allow("require_committed").get("require_committed", bool, False),
        notify=top.table("notify").allow("command").text("command"),
        feature_sets={name: _feature_set(name, table) for name, table in top.tables("feature_sets")},
    )


class _Table:
    """A TOML table that knows where it stands, so that every complaint can name file and key."""

    def __init__(self, data: Mapping[str, Any], file: str, path: str) -> None:
        self.data, self.file, self.path = data, file, path

    def key(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def error(self, name: str, message: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{self.key(name)} {message}", where=self.file, hint=hint)

    def allow(self, *names: str) -> _Table:
        for name in self.data:
            if name not in names:
                raise self.error(name, "is not a known key", did_you_mean(name, names))
        return self

    def get(self, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        if name not in self.data:
            return default
        value = self.data[name]
        wrong_bool = isinstance(value, bool) and kind is not bool
        if wrong_bool or not isinstance(value, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            words: dict[type, str] = {str: "text", dict: "a table", list: "a list"}
            wanted = " or ".join(words.get(one, one.__name__) for one in kinds)
            raise self.error(name, f"must be {wanted}, not {value!r}")
        return value

    def text(self, name: str, default: str | None = None, *, required: bool = False) -> str | None:
        value = self.get(name, str, default)
        if required and not value:
            raise self.error(name, "is missing")
        return value if value is None else _interpolate(value, self, name)

    def table(self, name: str, *, required: bool = False) -> _Table:
        if required and name not in self.data:
            raise self.error(name, "is missing", hint=f"add [{self.key(name)}]")
        return _Table(self.get(name, dict, {}), self.file, self.key(name))

    def tables(self, name: str) -> Iterable[tuple[str, _Table]]:
        outer = self.table(name)
        return [(inner, outer.table(inner)) for inner in outer.data]


def _interpolate(text: str, table: _Table, name: str, spell: Callable[[str], str] = str) -> str:
    def value(found: re.Match[str]) -> str:
        variable, default = found[1], found[2]
        if variable in os.environ:
            return spell(os.environ[variable])
        if default is not None:
            return default
        raise table.error(name, f"uses ${{{variable}}}, which is not set", f"export {variable}=…")

    return _VARIABLE.sub(value, text)


def _project_name(table: _Table) -> str:
    name = table.text("name", required=True)
    assert name is not None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", name):
        raise table.error("name", f"must be letters, digits, - and _, not {name!r}")
    return name


def _lock_timeout(flag: float | None, table: _Table) -> float:
    variable = os.environ.get("FEATURESTORE_LOCK_TIMEOUT")
    if flag is not None:
        return flag
    if variable:
        try:
            return float(variable)
        except ValueError:
            raise ConfigError(f"FEATURESTORE_LOCK_TIMEOUT is not a number of seconds: {variable!r}") from None
    return float(table.get("lock_timeout", (int, float), 60))


def _memory(flag: str | None, table: _Table) -> int:
    given = {"--memory": flag, "FEATURESTORE_OFFLINE_MEMORY": os.environ.get("FEATURESTORE_OFFLINE_MEMORY")}
    for name, text in given.items():
        if text:
            try:
                return _bytes(text)
            except ValueError as exc:
                raise ConfigError(f"{name} {exc}") from None
    try:
        return _bytes(table.text("memory", "2GB") or "")
    except ValueError as exc:
        raise table.error("memory", str(exc)) from None


def _bytes(text: str) -> int:
    """``1GB`` or ``1.5GiB``. Raises ValueError."""
    found = _MEMORY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"is not a size: {text!r}; write for example 500MB, 2GB or 1.5GiB")
    size = int(float(found[1]) * _UNITS[found[2].upper()])
    if size < LEAST_MEMORY:
        raise ValueError(f"is too little: {text}; at least {LEAST_MEMORY // 1_000_000}MB are needed")
    return size


def _url(kind: str, table: _Table) -> str | None:
    named = os.environ.get(f"FEATURESTORE_{kind}_URL")
    if named or "url" not in table.data:
        return named
    # A variable in the user's part stands for its exact text: a password may hold any character.
    template = str(table.get("url", str))
    user = _USER_PART.match(template)
    split = user.end() if user else 0
    return _interpolate(template[:split], table, "url", _quote) + _interpolate(template[split:], table, "url")


def _quote(text: str) -> str:
    from urllib.parse import quote  # costs 2 ms, and few projects have a server

    return quote(text, safe="")


def _file(name: str, table: _Table, root: Path) -> Path | None:
    """A path relative to the project."""
    text = table.text(name)
    return None if text is None else root / Path(text).expanduser()


def _entity_type(name: str, table: _Table) -> EntityType:
    table.allow("keys")
    if not FEATURE_NAME.fullmatch(name):
        raise ConfigError(f"{table.path}: {name!r} must match {FEATURE_NAME.pattern}", where=table.file)
    keys = table.table("keys", required=True)
    if not keys.data:
        raise table.error("keys", "is empty", hint='for example keys = { patient_id = "string" }')
    seen: set[str] = set()
    for key, kind in keys.data.items():
        if kind not in ("string", "int"):
            raise keys.error(key, f'must be "string" or "int", not {kind!r}')
        if not COLUMN_NAME.fullmatch(key):
            raise keys.error(key, f"must match {COLUMN_NAME.pattern}")
        if key.lower() in RESERVED_KEYS:
            raise keys.error(key, "is a name the store uses itself", hint="name the key by what it is")
        if key.lower() in seen:
            raise keys.error(key, "differs from another key by case only")
        seen.add(key.lower())
    return EntityType(name, tuple(Key(key, kind) for key, kind in keys.data.items()))


def _source(name: str, table: _Table) -> Source:
    table.allow("type", "path", "event_time", "timezone", "updated_at", "columns", "delimiter")
    if not FEATURE_NAME.fullmatch(name):
        raise ConfigError(f"{table.path}: {name!r} must match {FEATURE_NAME.pattern}", where=table.file)
    kind = table.text("type", required=True)
    if kind not in SOURCE_TYPES:
        raise table.error("type", f"is not a known source type: {kind!r}", did_you_mean(str(kind), SOURCE_TYPES))
    delimiter = table.text("delimiter", ",") or ","
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise table.error("delimiter", f"must be one character, not {delimiter!r}")
    zone = table.text("timezone")
    if zone is not None:
        _check_zone(zone, table)
    path = table.text("path", required=True)
    assert path is not None
    columns = {column: _column(column, inner) for column, inner in table.tables("columns")}
    for role in ("event_time", "updated_at"):
        column = columns.get(str(table.text(role)))
        if column is not None and column.type not in ("datetime", "date"):
            raise table.error(role, f"names {column.name!r}, which is declared as {column.type}, not datetime")
    return Source(
        name=name, type=kind, path=path, event_time=table.text("event_time"), timezone=zone,  # type: ignore[arg-type]
        updated_at=table.text("updated_at"), columns=columns, delimiter=delimiter,
    )  # fmt: skip


def _check_zone(zone: str, table: _Table) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError on some systems
        raise table.error("timezone", f"is not a time zone: {zone!r}", 'for example "Europe/Paris"') from None
    except KeyError:
        raise table.error("timezone", f"is not a time zone: {zone!r}", 'for example "Europe/Paris"') from None


def _column(name: str, table: _Table) -> Column:
    table.allow("type", "null", "min", "max", "in", "pattern")
    kind = table.text("type", required=True)
    if kind not in COLUMN_TYPES:
        raise table.error("type", f"is not a known column type: {kind!r}", did_you_mean(str(kind), COLUMN_TYPES))
    choices = table.get("in", list)
    pattern = table.text("pattern")
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as exc:
            raise table.error("pattern", f"is not a regular expression: {exc}") from None
        if kind != "string":
            raise table.error("pattern", f"needs a string column, not {kind}")
    bounds = {bound: _bound(bound, kind, table) for bound in ("min", "max")}
    return Column(
        name=name, type=kind, null=table.get("null", bool, True), min=bounds["min"], max=bounds["max"],
        choices=None if choices is None else tuple(choices), pattern=pattern,
    )  # fmt: skip


def _bound(name: str, kind: str, table: _Table) -> float | str | None:
    """A number for numbers; ISO 8601 text for dates and datetimes (TOML's own dates are taken too)."""
    value = table.data.get(name)
    if value is None:
        return None
    if kind in ("int", "float"):
        return table.get(name, (int, float))  # type: ignore[no-any-return]
    if kind in ("date", "datetime"):
        return value if isinstance(value, str) else str(value.isoformat())
    raise table.error(name, f"has no meaning for a {kind} column")


def _feature_set(name: str, table: _Table) -> tuple[str, ...]:
    table.allow("features")
    if not FEATURE_NAME.fullmatch(name):
        raise ConfigError(f"{table.path}: {name!r} must match {FEATURE_NAME.pattern}", where=table.file)
    listed = table.get("features", list, [])
    if not listed or not all(isinstance(item, str) and item for item in listed):
        raise table.error("features", "must be a list of feature names", 'for example features = ["age", "risk@2"]')
    return tuple(listed)


def _drift(table: _Table) -> DriftSettings:
    rule = _drift_rule(table)
    sample = table.get("sample", int, 10_000)
    if not 30 <= sample <= 1_000_000:
        raise table.error("sample", f"must be 30 to 1,000,000 values, not {sample:,}")
    rules = {
        part: {name: _drift_rule(inner.allow("method", "threshold")) for name, inner in table.tables(part)}
        for part in ("features", "tags")
    }
    return DriftSettings(rule.method or "jensenshannon", rule.threshold, sample, rules["features"], rules["tags"])


def _drift_rule(table: _Table) -> DriftRule:
    method, threshold = table.text("method"), table.get("threshold", (int, float))
    if method is not None and method not in DRIFT_METHODS:
        raise table.error("method", f"is not a known method: {method!r}", did_you_mean(method, DRIFT_METHODS))
    if threshold is not None and not 0 <= threshold < 1:
        raise table.error(
            "threshold", f"must be from 0 to below 1, not {threshold!r}",
            hint="it is compared with the score, which runs from 0 to 1 whatever the method",
        )  # fmt: skip
    return DriftRule(method, None if threshold is None else float(threshold))
