"""Features are found by reading files; each declaration that can't be used is reported with its place and a hint."""

from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.model import Feature
from featurestore.registry.discovery import Registry, discover
from featurestore.versioning.analysis.tree import SourceTree
from tests.conftest import TOML, Folder

HEAD = "import polars as pl\nfrom featurestore import feature\n"


def found(folder: Folder, files: dict[str, str], toml: str = TOML) -> Registry:
    folder.write({"featurestore.toml": toml})
    for name, text in files.items():
        folder.write({name: text})
    return discover(load_project(folder.root), SourceTree(folder.root))


def only(registry: Registry) -> Feature:
    assert not registry.broken, registry.broken
    (feature,) = registry.features
    return feature


def declare(arguments: str, signature: str = "df", head: str = HEAD) -> dict[str, str]:
    return {"features/m.py": f"{head}\n\n@feature({arguments})\ndef score({signature}):\n    return df\n"}


BASIC = 'entity_type="patient", data_type="float"'


def test_a_feature_is_what_its_decorator_says(folder: Folder) -> None:
    files = declare(
        'name="risk", entity_type="patient", data_type="list[float, 3]", source="visits", description="d", owner="o", '
        'tags=["a", "b"], status="deprecated", max_age="1d12h", lookback="0", tolerance=1e-6, renamed_from="old"'
    )
    feature = only(found(folder, files))
    assert (feature.name, feature.function, feature.module, feature.line) == ("risk", "score", "features.m", 6)
    assert (str(feature.data_type), feature.source_name, feature.tags) == ("list[float, 3]", "visits", ("a", "b"))
    assert (feature.max_age, feature.lookback, feature.tolerance) == (36 * 3600 * 10**6, 0, 1e-6)
    assert (feature.status, feature.renamed_from, feature.short) == ("deprecated", "old", False)


def test_the_name_is_the_function_s_and_the_source_the_only_one(folder: Folder) -> None:
    feature = only(found(folder, declare(BASIC)))
    assert (feature.name, feature.source_name) == ("score", "visits")


def test_a_function_without_a_frame_is_the_short_form(folder: Folder) -> None:
    assert only(found(folder, declare(BASIC, signature=""))).short


@pytest.mark.parametrize(
    ("imports", "decorator"),
    [
        ("from featurestore import feature as f", "f"),
        ("import featurestore", "featurestore.feature"),
        ("import featurestore as fs", "fs.feature"),
    ],
)
def test_the_decorator_is_known_by_any_name(folder: Folder, imports: str, decorator: str) -> None:
    text = f"{imports}\n\n@{decorator}({BASIC})\ndef score(df):\n    return df\n"
    assert only(found(folder, {"features/m.py": text})).name == "score"


def test_arguments_may_be_module_constants_also_imported_ones(folder: Folder) -> None:
    files = declare(f'{BASIC}, owner=OWNER, tags=[A, "b"]', head=HEAD + 'from features.lib import OWNER\nA = "a"\n')
    feature = only(found(folder, {**files, "features/lib.py": 'TEAM = "ml"\nOWNER = TEAM\n'}))
    assert (feature.owner, feature.tags) == ("ml", ("a", "b"))


def test_params_make_a_family(folder: Folder) -> None:
    files = declare(f'{BASIC}, name="spend_{{days}}d", params={{"days": [7, 30]}}', signature="df, days")
    registry = found(folder, files)
    assert [(item.name, dict(item.params)) for item in registry.features] == [
        ("spend_30d", {"days": 30}), ("spend_7d", {"days": 7}),
    ]  # fmt: skip


def test_hidden_folders_and_modules_without_features_are_left_alone(folder: Folder) -> None:
    text = "from featurestore import feature\n@feature(\n"
    files = {
        "features/.ipynb_checkpoints/m.py": text,
        "features/__pycache__/m.py": text,
        "features/.versions/f/0001-aaaaaaaaaaaa.py": text,
        "features/helpers.py": "raise RuntimeError('never run')\n",
    }
    registry = found(folder, {**files, **declare(BASIC)})
    assert only(registry).name == "score"


def test_nothing_is_run(folder: Folder) -> None:
    marker = folder.root / "ran"
    head = HEAD + f"open({str(marker)!r}, 'w')\nprint('ran')\nraise RuntimeError\n"
    assert only(found(folder, declare(BASIC, head=head))).name == "score"
    assert not marker.exists()


@pytest.mark.parametrize(
    ("arguments", "signature", "said", "hint"),
    [
        ('data_type="float"', "df", "entity_type= is missing", "patient"),
        ('entity_type="pateint", data_type="float"', "df", "no entity type 'pateint'", "did you mean 'patient'?"),
        ('entity_type="patient"', "df", "data_type= is missing", "float"),
        ('entity_type="patient", data_type="flaot"', "df", "'flaot' is not a data_type", "did you mean 'float'?"),
        (f'{BASIC}, source="visit"', "df", "no source 'visit'", "did you mean 'visits'?"),
        (f'{BASIC}, descripton="x"', "df", "no argument 'descripton'", "did you mean 'description'?"),
        (f'{BASIC}, ttl="30d"', "df", "no argument 'ttl'", "max_age"),
        (f'{BASIC}, aggregate="sum"', "df", "no argument 'aggregate'", "pl.col(\"amount\").sum()"),
        (f'{BASIC}, zzz=1', "df", "no argument 'zzz'", "there is: data_type, delay"),
        (f'{BASIC}, owner=who()', "df", "owner=who() can't be read without running the module", "literal"),
        (f'{BASIC}, name="Risk"', "df", "'Risk' is not a feature name", "name="),
        (f'{BASIC}, max_age="2 moons"', "df", "'2 moons' is not a duration", None),
        (f'{BASIC}, status="old"', "df", "status='old' is not a status", "active"),
        (f'{BASIC}, params={{"days": [7]}}', "df, days", "name='score' must contain {days}", "score_{days}"),
        (f'{BASIC}, name="f_{{days}}", params={{"days": [7]}}', "df", "has no argument 'days'", None),
        (BASIC, "df, days", "score() has an argument 'days' that is neither the frame nor in params", "params"),
        ('"x"', "df", "takes named arguments only", "name="),
        ("**ARGS", "df", "can't be read without running it", None),
    ],
)  # fmt: skip
def test_a_wrong_declaration_says_what_where_and_how_to_fix_it(
    folder: Folder, arguments: str, signature: str, said: str, hint: str | None
) -> None:
    registry = found(folder, declare(arguments, signature))
    assert registry.features == ()
    (broken,) = registry.broken
    assert said in broken.problem.message
    assert broken.problem.where is not None
    assert broken.problem.where.startswith("features/m.py:")
    assert hint is None or hint in str(broken.problem.hint)


def test_with_several_sources_one_must_be_named(folder: Folder) -> None:
    toml = TOML + '\n[sources.labs]\ntype = "csv"\npath = "labs.csv"\n'
    (broken,) = found(folder, declare(BASIC), toml).broken
    assert broken.problem.hint == "name one: source= labs or visits"


def test_two_features_of_one_name_are_both_refused_naming_both_places(folder: Folder) -> None:
    files = {f"features/{name}.py": declare(BASIC)["features/m.py"] for name in ("a", "b")}
    registry = found(folder, files)
    assert registry.features == ()
    assert "features/a.py:6 and features/b.py:6" in registry.broken[0].problem.message


def test_a_module_that_can_t_be_parsed_does_not_hide_the_others(folder: Folder) -> None:
    registry = found(folder, {**declare(BASIC), "features/bad.py": HEAD + "def broken(:\n"})
    assert [item.name for item in registry.features] == ["score"]
    assert registry.broken[0].name == "features/bad.py"
    assert registry.broken[0].problem.where == "features/bad.py:3"


def test_a_feature_inside_a_class_or_a_function_is_refused(folder: Folder) -> None:
    inner = f"{HEAD}\n\nclass Box:\n    @feature({BASIC})\n    def score(df):\n        return df\n"
    (broken,) = found(folder, {"features/m.py": inner}).broken
    assert "not at the top level" in broken.problem.message


def test_windows_line_ends_and_a_byte_order_mark_are_fine(folder: Folder) -> None:
    folder.write({"featurestore.toml": TOML})
    path: Path = folder.root / "features" / "m.py"
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbf" + declare(BASIC)["features/m.py"].replace("\n", "\r\n").encode())
    assert only(discover(load_project(folder.root), SourceTree(folder.root))).name == "score"
