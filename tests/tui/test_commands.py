"""The command lines that give what is shown; each of them is one that `featurestore` takes."""

from pathlib import Path

import pytest

from featurestore.cli.app import run
from featurestore.tui import commands
from featurestore.tui.data import FEATURE_FIELDS
from featurestore.tui.filter import parse
from featurestore.tui.location import Location

CASES = [
    (Location(), "", "list"),
    (Location(), "age tag:cardiac !owner:ada", "list age --tag cardiac"),
    (Location(), "entity:patient owner:ada status:active", "list --entity-type patient --owner ada --status active"),
    (Location("feature", "age_share"), "", "show age_share"),
    (Location("feature", "age_share", tab="Statistics"), "", "stats age_share"),
    (Location("feature", "age_share", tab="Runs"), "", "runs --feature age_share"),
    (Location("feature", "age_share", tab="Lineage"), "", "lineage age_share"),
    (Location("diff", "age_share", old="1", new="2"), "", "diff age_share 1 2"),
    (Location("drift"), "", "drift"),
    (Location("drift", "age_share"), "", "drift age_share"),
    (Location("runs"), "", "runs"),
    (Location("runs", "age_share"), "status:ok", "runs --feature age_share --status ok"),
    (Location("runs", run="1"), "", "runs 1"),
]


@pytest.mark.parametrize(("location", "typed", "line"), CASES)
def test_each_location_has_a_command_that_works(location: Location, typed: str, line: str, past: Path) -> None:
    words = commands.words_for(location, parse(typed, (*FEATURE_FIELDS, "feature")))
    assert " ".join(words) == line
    assert run(["-C", str(past), "-q", *words]) == 0


def test_the_project_is_named_where_it_would_not_be_found() -> None:
    root = Path("/srv/my project")
    assert commands.command_line(["list"], root, root) == "featurestore list"
    assert commands.command_line(["list"], root, root / "features") == "featurestore list"
    assert commands.command_line(["list", "a b"], root, Path("/")) == "featurestore -C '/srv/my project' list 'a b'"
