"""featurestore.toml, read into a `Project`.

Owns how the project folder is found, and which setting wins: flag, ``FEATURESTORE_*`` variable, file, default.
Unknown keys are errors. The ``[sources.NAME]`` tables are read by `sources.settings` and the types of source
themselves. Opens no store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from pathlib import Path

from featurestore.drift_methods import DEFAULT_METHOD, DRIFT_METHODS
from featurestore.errors import ConfigError, NoProjectError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import COLUMN_NAME, FEATURE_NAME, EntityType, Key, Source
from featurestore.regular import SETTINGS, Fence, OddFileError, in_home, reason, refuse_odd
from featurestore.sources.settings import read_source
from featurestore.toml import TomlTable, parse_toml

FILE = "featurestore.toml"
RESERVED_KEYS = {
    "entity_id", "value", "computed_at", "run_seq", "op", "ingested_at", "run_id", "tombstone", "withdrawn",
}  # fmt: skip

_MEMORY = r"(\d+(?:\.\d+)?) ?([MG]I?B)"
_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}
_NO_SCORE = "must be from 0 to below 1"
_SCORE = "it is compared with the score, which runs from 0 to 1 whatever the method"
LEAST_MEMORY, MEMORY = 200_000_000, 2_000_000_000
TABLES = (
    "project", "offline", "online", "entity_types", "sources", "drift", "notify", "feature_sets", "models", "versions",
    "history", "log", "scopes",
)  # fmt: skip


@frozen
class DriftRule:
    """The drift settings of some features; None where the wider setting applies."""

    method: str | None = None
    threshold: float | None = None


@frozen
class DriftSettings:
    """How a run is compared with its reference: for the project, and where features or tags differ.

    ``threshold`` is on the scale of the score, 0 to 1; None means the method's own. ``sample`` is the largest
    number of values that is stored of a run.
    """

    method: str = DEFAULT_METHOD
    threshold: float | None = None
    sample: int = 10_000
    features: Mapping[str, DriftRule] = field(default_factory=dict)
    tags: Mapping[str, DriftRule] = field(default_factory=dict)

    def of(self, feature: str, tags: Iterable[str] = ()) -> DriftSettings:
        """The settings of one feature: its own rule, else that of its first tag with one, else the project's.

        A rule that changes the method drops a threshold that was set for another method.
        """
        method, threshold = self.method, self.threshold
        rules = [self.tags[tag] for tag in tags if tag in self.tags][:1]
        for rule in [*rules, self.features.get(feature, DriftRule())]:
            if rule.method not in (None, method):
                method, threshold = rule.method or method, None
            threshold = threshold if rule.threshold is None else rule.threshold
        return DriftSettings(method, threshold, self.sample)


@frozen
class FeatureSet:
    """A named list of references to features, and the entity type of each role that some of them are asked for."""

    features: tuple[str, ...]
    roles: Mapping[str, str] = field(default_factory=dict)


@frozen
class Project:
    """A project folder and what its featurestore.toml says. Every workflow takes one.

    ``offline_url`` and ``online_url`` are None for the embedded defaults under `state`; the offline store's
    password may be in a file of its own. ``notify`` is the command that is run on drift. With ``require_committed``
    only code whose version file is in git's HEAD is ingested. ``feature_sets`` are lists of feature references, by
    name; ``models`` are those that models were trained on. ``memory`` is about how many bytes a join may use, whatever
    the size of the history. ``keep`` is how long (µs) details of runs are kept, None for ever. ``online_timeout`` is
    how many seconds to wait for a connection to the online store. ``coming_steps`` is how many steps of a window are
    kept beside each entity ahead of the clock, ``window_rows`` how many times the rows of a source windows may take
    together. With ``check_scopes`` runs check on a sample that scopes hold. ``scratch`` is the folder that stands for
    `state` in what is only tried.
    """

    root: Path
    name: str
    entity_types: Mapping[str, EntityType]
    sources: Mapping[str, Source]
    drift: DriftSettings
    offline_url: str | None = None
    online_url: str | None = None
    offline_password_file: Path | None = None
    memory: int = MEMORY
    lock_timeout: float = 60.0
    notify: str | None = None
    require_committed: bool = False
    feature_sets: Mapping[str, FeatureSet] = field(default_factory=dict)
    models: Mapping[str, FeatureSet] = field(default_factory=dict)
    keep: int | None = None
    check_scopes: bool = True
    coming_steps: int = 8
    window_rows: int = 50
    online_timeout: float = 10.0
    scratch: Path | None = None

    @property
    def features(self) -> Path:
        """The folder of feature modules."""
        return self.root / "features"

    @property
    def versions(self) -> Path:
        """The folder of version files: written by featurestore, committed by the user."""
        return _versions_of(self.root)

    @property
    def state(self) -> Path:
        """Local state, ignored by git."""
        return self.scratch or self.root / ".featurestore"

    @property
    def known_hashes(self) -> Path:
        """What is known of the working tree's code (`versioning.known_hashes`)."""
        return self.state / "known_hashes.json"

    @property
    def summary(self) -> Path:
        """What ``list`` shows of the stores without opening one."""
        return self.state / "summary.json"


@lru_cache(maxsize=8)  # asked for several times for each feature
def _versions_of(root: Path) -> Path:
    return root / "features" / ".versions"


def find_root(start: Path | None = None, named: str | None = None) -> Path:
    """The project folder: the named one, else ``FEATURESTORE_PROJECT``, else the nearest at or above.

    Raises NoProjectError.
    """
    wanted = named or os.environ.get("FEATURESTORE_PROJECT")
    if wanted:
        root = in_home(wanted).absolute()
        if _is_there(root / FILE):
            return root
        raise NoProjectError(f"no {FILE} in {root}", hint=f"run featurestore init {wanted}")
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if _is_there(folder / FILE):
            return folder
    raise NoProjectError(f"no {FILE} in {here} or any folder above", hint="run featurestore init, or name one with -C")


def _is_there(path: Path) -> bool:
    """Whether a name is taken, by whatever: `load_project` says what it is. Raises OSError where that can't be seen."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def load_project(root: Path, *, lock_timeout: float | None = None, memory: str | None = None) -> Project:
    """Reads and checks ``root/featurestore.toml``; the arguments win over it.

    Raises ConfigError naming the file, the line and the key.
    """
    path = root / FILE
    try:
        refuse_odd(root / ".featurestore")
    except OddFileError as exc:
        raise ConfigError(str(exc.strerror), where=str(exc.filename), hint="move it away, then try again") from exc
    try:
        content = Fence(root).read(path, SETTINGS)
        data = parse_toml(content)
    except OSError as exc:
        raise ConfigError(reason(exc), where=str(path)) from exc
    except ValueError as exc:
        raise ConfigError(str(exc), where=str(path)) from exc
    top = TomlTable(data, str(path), content=content)
    top.allow(*TABLES)
    project = top.table("project", required=True).allow("name", "lock_timeout")
    offline = top.table("offline").allow("url", "password_file", "memory", "window_rows")
    entity_types = {name: _entity_type(name, table) for name, table in top.tables("entity_types")}
    sets = {name: _feature_set(name, table, entity_types) for name, table in top.tables("feature_sets")}
    return Project(
        root=root,
        name=_project_name(project),
        entity_types=entity_types,
        sources={name: read_source(name, table) for name, table in top.tables("sources")},
        drift=_drift(top.table("drift").allow("method", "threshold", "sample", "features", "tags")),
        offline_url=_url("OFFLINE", offline),
        online_url=_url("ONLINE", top.table("online").allow("url", "timeout")),
        online_timeout=_online_timeout(top.table("online")),
        offline_password_file=_file("password_file", offline, root),
        memory=_memory(memory, offline),
        lock_timeout=_lock_timeout(lock_timeout, project),
        require_committed=top.table("versions").allow("require_committed").get("require_committed", bool, False),
        notify=top.table("notify").allow("command").text("command"),
        keep=top.table("log").allow("keep").retention("keep"),
        check_scopes=top.table("scopes").allow("check").get("check", bool, True),
        coming_steps=_count(top.table("history").allow("steps"), "steps", 8),
        window_rows=_count(offline, "window_rows", 50),
        feature_sets=sets,
        models={name: _model(name, table, entity_types, sets) for name, table in top.tables("models")},
    )


def _project_name(table: TomlTable) -> str:
    name = table.required_text("name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", name):
        raise table.error("name", "must be letters, digits, - and _")
    return name


def _lock_timeout(flag: float | None, table: TomlTable) -> float:
    variable = os.environ.get("FEATURESTORE_LOCK_TIMEOUT")
    if flag is not None:
        return flag
    if variable:
        try:
            seconds = float(variable)
        except ValueError:
            seconds = float("nan")
        if not 0 <= seconds < float("inf"):
            raise ConfigError("FEATURESTORE_LOCK_TIMEOUT is not a number of seconds")
        return seconds
    seconds = float(table.get("lock_timeout", (int, float), 60))
    if not 0 <= seconds < float("inf"):
        raise table.error("lock_timeout", "is not a number of seconds")
    return seconds


def _count(table: TomlTable, name: str, default: int) -> int:
    count = int(table.get(name, int, default))
    if count < 1:
        raise table.error(name, "must be at least 1")
    return count


def _online_timeout(table: TomlTable) -> float:
    seconds = float(table.get("timeout", (int, float), 10))
    if not 0 < seconds < float("inf"):
        raise table.error("timeout", "is not a number of seconds above 0")
    return seconds


def _memory(flag: str | None, table: TomlTable) -> int:
    given = {"--memory": flag, "FEATURESTORE_OFFLINE_MEMORY": os.environ.get("FEATURESTORE_OFFLINE_MEMORY")}
    for name, text in given.items():
        if text:
            try:
                return _enough(parse_bytes(text, quoted=name == "--memory"))
            except ValueError as exc:
                raise ConfigError(f"{name} {exc}") from None
    try:
        return _enough(parse_bytes(table.text("memory", "2GB") or "", quoted=False))
    except ValueError as exc:
        raise table.error("memory", str(exc)) from None


def parse_bytes(text: str, *, quoted: bool = True) -> int:
    """``1GB`` or ``1.5GiB``. Raises ValueError."""
    found = re.fullmatch(_MEMORY, text.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"is not a size{f': {text!r}' if quoted else ''}; write for example 500MB, 2GB or 1.5GiB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _enough(size: int) -> int:
    if size < LEAST_MEMORY:
        raise ValueError(f"is too little; at least {LEAST_MEMORY // 1_000_000}MB are needed")
    return size


def _url(kind: str, table: TomlTable) -> str | None:
    named = os.environ.get(f"FEATURESTORE_{kind}_URL")
    if named or "url" not in table.data:
        return named
    return table.url("url")


def _file(name: str, table: TomlTable, root: Path) -> Path | None:
    """A path relative to the project."""
    text = table.text(name)
    return None if text is None else root / in_home(text)


def _entity_type(name: str, table: TomlTable) -> EntityType:
    table.allow("keys")
    if not FEATURE_NAME.fullmatch(name):
        raise ConfigError(f"{table.path} must match {FEATURE_NAME.pattern}", where=table.place())
    keys = table.table("keys", required=True)
    if not keys.data:
        raise table.error("keys", "is empty", hint='for example keys = { patient_id = "string" }')
    seen: set[str] = set()
    for key, kind in keys.data.items():
        if kind not in ("string", "int"):
            raise keys.error(key, 'must be "string" or "int"', hint='a date or a uuid is a key as text: "string"')
        if not COLUMN_NAME.fullmatch(key):
            raise keys.error(key, f"must match {COLUMN_NAME.pattern}")
        if key.lower() in RESERVED_KEYS:
            raise keys.error(key, "is a name the store uses itself", hint="name the key by what it is")
        # Keys are columns, and DuckDB takes names that differ by case only for the same.
        if key.lower() in seen:
            raise keys.error(key, "differs from another key by case only")
        seen.add(key.lower())
    return EntityType(name, tuple(Key(key, kind) for key, kind in keys.data.items()))


def _feature_set(
    name: str, table: TomlTable, entity_types: Collection[str], listed: Sequence[object] | None = None
) -> FeatureSet:
    table.allow("features", "roles")
    if not FEATURE_NAME.fullmatch(name):
        raise ConfigError(f"{table.path} must match {FEATURE_NAME.pattern}", where=table.place())
    listed = table.get("features", list, []) if listed is None else listed
    if not listed or not all(isinstance(item, str) and item for item in listed):
        raise table.error("features", "must be a list of feature names", 'for example features = ["age", "risk@2"]')
    return FeatureSet(tuple(map(str, listed)), _roles(table.table("roles"), entity_types))


def _roles(table: TomlTable, entity_types: Collection[str]) -> Mapping[str, str]:
    for role, entity_type in table.data.items():
        if not FEATURE_NAME.fullmatch(role):
            raise table.error(role, f"must match {FEATURE_NAME.pattern}")
        if not isinstance(entity_type, str) or entity_type not in entity_types:
            raise table.error(role, "is not an entity type", did_you_mean(str(entity_type), entity_types))
    return dict(table.data)


def _model(name: str, table: TomlTable, entity_types: Collection[str], sets: Mapping[str, FeatureSet]) -> FeatureSet:
    """What a model was trained on. ``features`` may name a feature set, ``"@name"``, or be a list with some in it."""
    if name in sets:
        raise ConfigError(f"{table.path}: a feature set is called {name} too", where=table.place(), hint="rename one")
    given = table.get("features", (list, str), [])
    if isinstance(given, str) and not given.startswith("@"):
        hint = 'for example features = ["age", "risk@2"], or features = "@cardiac_v1"'
        raise table.error("features", "must be a list of feature names, or a feature set", hint)
    listed: list[object] = []
    roles: dict[str, str] = {}
    for item in [given] if isinstance(given, str) else given:
        if isinstance(item, str) and item.startswith("@"):
            if item[1:] not in sets:
                meant = did_you_mean(item, [f"@{each}" for each in sets])
                raise table.error("features", "names a feature set that does not exist", meant)
            listed += sets[item[1:]].features
            roles |= sets[item[1:]].roles
        else:
            listed.append(item)
    model = _feature_set(name, table, entity_types, listed)
    return FeatureSet(tuple(dict.fromkeys(model.features)), {**roles, **model.roles})


def _drift(table: TomlTable) -> DriftSettings:
    rule = _drift_rule(table)
    sample = table.get("sample", int, 10_000)
    if not 30 <= sample <= 1_000_000:
        raise table.error("sample", f"must be 30 to 1,000,000 values, not {sample:,}")
    rules = {
        part: {name: _drift_rule(inner.allow("method", "threshold")) for name, inner in table.tables(part)}
        for part in ("features", "tags")
    }
    method, threshold = _drift_variables(rule)
    return DriftSettings(method or DEFAULT_METHOD, threshold, sample, rules["features"], rules["tags"])


def _drift_variables(rule: DriftRule) -> tuple[str | None, float | None]:
    """Method and threshold of the project, of which variables override those of the file."""
    method, threshold = rule.method, rule.threshold
    named, score = os.environ.get("FEATURESTORE_DRIFT_METHOD"), os.environ.get("FEATURESTORE_DRIFT_THRESHOLD")
    if named:
        if named not in DRIFT_METHODS:
            raise ConfigError(
                "FEATURESTORE_DRIFT_METHOD is not a known method", hint=did_you_mean(named, DRIFT_METHODS)
            )
        # A threshold that was set for another method says nothing of this one.
        method, threshold = named, threshold if named == (method or DEFAULT_METHOD) else None
    if score:
        try:
            threshold = float(score)
        except ValueError:
            threshold = float("nan")
        if not 0 <= threshold < 1:
            raise ConfigError(f"FEATURESTORE_DRIFT_THRESHOLD {_NO_SCORE}", hint=_SCORE)
    return method, threshold


def _drift_rule(table: TomlTable) -> DriftRule:
    method, threshold = table.text("method"), table.get("threshold", (int, float))
    if method is not None and method not in DRIFT_METHODS:
        raise table.error("method", "is not a known method", did_you_mean(method, DRIFT_METHODS))
    if threshold is not None and not 0 <= threshold < 1:
        raise table.error("threshold", f"{_NO_SCORE}, not {threshold!r}", hint=_SCORE)
    return DriftRule(method, None if threshold is None else float(threshold))
