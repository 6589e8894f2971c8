"""The wheel: the package, typed, with the example project in it; an installed one lays it down anywhere."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import featurestore
assert featurestore.__file__.startswith(sys.path[0]), featurestore.__file__
from featurestore.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents, as an installer lays them down."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_holds_the_package_and_nothing_of_the_workshop(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")} == {"featurestore"}
    assert (unpacked / "featurestore" / "py.typed").is_file()
    assert not list(unpacked.rglob("*.pyc"))
    assert not list((unpacked / "featurestore" / "_demo").rglob(".featurestore"))


def test_it_names_an_executable_a_licence_and_the_pythons(unpacked: Path) -> None:
    (info,) = unpacked.glob("*.dist-info")
    assert "featurestore = featurestore.__main__:main" in (info / "entry_points.txt").read_text()
    metadata = (info / "METADATA").read_text()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_an_installed_wheel_lays_down_the_example_and_runs_it(unpacked: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-I", "-c", RUN, str(unpacked), *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    run("init", "heart", "--demo")
    laid = {path.relative_to(tmp_path / "heart"): path for path in (tmp_path / "heart").rglob("*") if path.is_file()}
    for part in ("featurestore.toml", "features/cardiac.py", "fixtures/heart/labels.csv", "fixtures/heart/README.md"):
        assert laid[Path(part)].read_bytes() == (ROOT / part).read_bytes()
    assert "values written" in run("-C", "heart", "ingest")
    assert "nothing changed" in run("init", "heart", "--demo")
