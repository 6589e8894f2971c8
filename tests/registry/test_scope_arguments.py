"""``scope=`` and ``lookback=``: what they mean together, and what can't be meant."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from featurestore.arguments import Declaration, parse_arguments
from featurestore.config import load_project
from featurestore.errors import DeclarationError
from featurestore.evaluation.scope import declared_scope
from featurestore.model import Json
from tests.conftest import TOML, Folder
from tests.versioning.conftest import feature

DAY = 86_400_000_000


def declare(folder: Folder, values: Mapping[str, Json], toml: str = TOML) -> dict[str, object]:
    folder.write({"featurestore.toml": toml})
    given: dict[str, Json] = {"entity_type": "patient", "data_type": "float", **values}
    return parse_arguments(Declaration(given, load_project(folder.root), "features/m.py:1"))


@pytest.mark.parametrize(
    ("given", "kind", "lookback", "reason"),
    [
        ({"scope": "row"}, "row", 0, 'scope="row" is declared'),
        ({"lookback": "0"}, "row", 0, 'lookback="0" is declared'),
        ({"scope": "row", "lookback": "0"}, "row", 0, 'scope="row" is declared'),
        ({"scope": "entity"}, "entity", None, 'scope="entity" is declared'),
        ({"lookback": "1d"}, "entity", DAY, 'lookback="1d" is declared'),
        ({"scope": "entity", "lookback": "1d"}, "entity", DAY, 'scope="entity" and lookback="1d" are declared'),
        ({"scope": "source"}, "source", None, 'scope="source" is declared'),
        ({"scope": "source", "lookback": "1d"}, "source", DAY, 'scope="source" and lookback="1d" are declared'),
    ],
)
@pytest.mark.parametrize("short", [True, False])
def test_what_is_declared_is_the_scope(
    folder: Folder, given: dict[str, Json], kind: str, lookback: int | None, reason: str, *, short: bool
) -> None:
    values = declare(folder, given)
    scope = declared_scope(feature(short=short, scope=values["scope"], lookback=values["lookback"]))
    assert scope is not None
    assert (scope.kind, scope.lookback, scope.reason, scope.declared) == (kind, lookback, reason, True)


def test_without_a_declaration_a_function_may_look_at_all_of_its_source() -> None:
    scope = declared_scope(feature(short=False))
    assert scope is not None
    assert (scope.kind, scope.lookback, scope.declared) == ("source", None, False)


def test_without_a_declaration_an_expression_is_not_known_yet() -> None:
    assert declared_scope(feature(short=True)) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scope": "rows"}, "'rows' is not a scope"),
        ({"scope": 1}, "scope= must be text"),
        ({"scope": "row", "lookback": "1d"}, 'lookback="1d"'),
        ({"scope": "entity", "lookback": "0"}, 'lookback="0"'),
        ({"scope": "source", "lookback": "0"}, 'lookback="0"'),
    ],
)
def test_a_contradiction_is_refused_with_the_way_out(folder: Folder, given: dict[str, Json], message: str) -> None:
    with pytest.raises(DeclarationError, match=message) as refused:
        declare(folder, given)
    assert refused.value.exit_code == 2
    assert refused.value.hint or "must be text" in message


def test_a_lookback_needs_event_times(folder: Folder) -> None:
    untimed = "\n".join(line for line in TOML.splitlines() if "event_time" not in line)
    with pytest.raises(DeclarationError, match="no event_time") as refused:
        declare(folder, {"lookback": "1d"}, untimed)
    assert "set event_time in [sources.visits]" in str(refused.value.hint)
    assert declare(folder, {"scope": "entity"}, untimed)["scope"] == "entity"
