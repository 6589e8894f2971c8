#!/usr/bin/env python3
"""How often a change of real code makes a new version of a feature though none of its values changed.

    .venv/bin/python scripts/bench/hash_noise.py [--before FOLDER] [--work FOLDER] [ta ...]

Releases of public packages of plain functions stand for the history of a project: each public function is a feature,
and each pair of successive releases a change. A function's code is hashed in both releases by this checkout,
and by that of ``--before`` (an older checkout) beside it; it is called in both on the same random numbers, with its own
defaults. Where its results are the same to the bit and its hash is not, the new version is noise. Functions that can't
be called so are left out. Differences that only other arguments would show count as noise here, for both.

Downloads the releases with pip, and makes an environment with pandas for them, in ``--work``. Needs the network.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

CLONE = Path(__file__).resolve().parents[2]
ABSENT = ("yfinance", "seaborn", "matplotlib", "tabulate", "stumpy", "matrixprofile", "IPython", "tqdm", "dask",
          "distributed", "sklearn", "plotly", "requests", "talib", "vectorbt", "numba", "cloudpickle")  # fmt: skip
NEEDED = ["numpy<2", "pandas<2.3", "scipy<1.15", "statsmodels", "pywavelets", "setuptools<81", "wheel"]


@dataclass(frozen=True)
class Package:
    """Releases, oldest first, and which modules have the functions."""

    folder: str
    modules: str
    releases: Sequence[str]


PACKAGES = {
    "ta": Package("ta", "ta/*.py", ["0.7.0", "0.8.0", "0.9.0", "0.10.1", "0.10.2", "0.11.0"]),
    "quantstats": Package(
        "quantstats",
        "quantstats/stats.py",
        ["0.0.59", "0.0.62", "0.0.64", "0.0.66", "0.0.68", "0.0.70", "0.0.72", "0.0.74", "0.0.77", "0.0.81"],
    ),
    "tsfresh": Package(
        "tsfresh",
        "tsfresh/feature_extraction/feature_calculators.py",
        ["0.17.0", "0.18.0", "0.19.0", "0.20.0", "0.20.1", "0.20.2", "0.20.3"],
    ),
    "pandas-ta-classic": Package(
        "pandas_ta_classic", "pandas_ta_classic/*/*.py", ["0.3.15", "0.3.36", "0.3.59", "0.3.78"]
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", help=f"among {', '.join(PACKAGES)}; all of them by default")
    parser.add_argument("--before", type=Path, help="an older checkout of featurestore to compare with")
    parser.add_argument("--work", type=Path, help="where downloads and the environment are kept")
    parser.add_argument("--show", action="store_true", help="names the functions whose new versions are noise")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="hash-noise-"))
    recipes = {"now": CLONE, **({"before": arguments.before} if arguments.before else {})}
    python = environment(work)
    total: dict[str, Counter[str]] = {name: Counter() for name in recipes}
    for name in arguments.packages or PACKAGES:
        package = PACKAGES[name]
        roots = [project(python, work, name, release) for release in package.releases]
        values = [asked(python, root, "--values", package) for root in roots]
        for recipe, code in recipes.items():
            hashes = [asked(sys.executable, root, "--hashes", package, code) for root in roots]
            counts: Counter[str] = Counter()
            for at in range(len(roots) - 1):
                for key, kind in judged(hashes[at], hashes[at + 1], values[at], values[at + 1]):
                    counts[kind] += 1
                    if arguments.show and kind in ("noise", "missed"):
                        print(f"  {recipe}: {kind}: {key} {package.releases[at]} → {package.releases[at + 1]}")
            total[recipe] += counts
            print(said(f"{name}, {recipe}", counts))
    for recipe, counts in total.items():
        print(said(f"all, {recipe}", counts))


def judged(
    hashes: dict[str, str], later_hashes: dict[str, str], values: dict[str, str], later_values: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """What a change is for each function that could be called on both sides."""
    for key in sorted(values.keys() & later_values.keys() & hashes.keys() & later_hashes.keys()):
        new, changed = hashes[key] != later_hashes[key], values[key] != later_values[key]
        yield (
            key,
            {(False, False): "same", (True, True): "right", (True, False): "noise", (False, True): "missed"}[
                new, changed
            ],
        )


def said(what: str, counts: Counter[str]) -> str:
    every = sum(counts.values())
    unchanged = counts["same"] + counts["noise"]
    return (
        f"{what}: {every} changes of a function's release; values changed in {counts['right'] + counts['missed']}, "
        f"of which {counts['missed']} without a new version; a new version though no value changed in "
        f"{counts['noise']} of {unchanged} ({counts['noise'] / max(unchanged, 1):.1%})"
    )


# Getting the code


def environment(work: Path) -> str:
    """An environment in which the packages' functions run."""
    python = work / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(work / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDED], check=True)
    return str(python)


def project(python: str, work: Path, name: str, release: str) -> Path:
    """A release's code as a folder."""
    root = work / "code" / f"{name}-{release}"
    if root.exists():
        return root
    downloads = work / "dl" / f"{name}-{release}"
    if not downloads.exists():
        pip = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation", "-d", str(downloads)]
        subprocess.run([*pip, f"{name}=={release}"], check=True)
    (archive,) = downloads.iterdir()
    if archive.suffix == ".whl":
        zipfile.ZipFile(archive).extractall(root)
    else:
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(archive) as opened:
                opened.extractall(folder, filter="data")
            (inside,) = Path(folder).iterdir()
            shutil.copytree(inside / PACKAGES[name].folder, root / PACKAGES[name].folder)
    return root


def asked(python: str, root: Path, what: str, package: Package, code: Path | None = None) -> dict[str, str]:
    """What this script answers in another process: hashes by the code of a checkout, or values."""
    command = [python, __file__, what, str(root), package.modules]
    path = {"PYTHONPATH": str(code)} if code is not None else {}
    done = subprocess.run(command, check=False, env={**os.environ, **path}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    found: dict[str, str] = json.loads(done.stdout.rpartition("\n\n")[2])
    return found


def functions(root: Path, modules: str) -> Iterator[tuple[str, str]]:
    """The public functions of the modules, as module and name."""
    for path in sorted(root.glob(modules)):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield module, node.name


# In other processes


def hashes(root: Path, modules: str) -> dict[str, str]:
    """The digest of what each function reaches, as a feature that calls it does."""
    from hashlib import sha256

    from featurestore.versioning.analysis.tree import SourceTree
    from featurestore.versioning.recipe.closure import capture

    chosen = list(functions(root, modules))
    lines = ["import featurestore"]
    for at, (module, name) in enumerate(chosen):
        lines += [f"def f{at}(*a):", f"    from {module} import {name} as target", "    return target(*a)"]
    (root / "features").mkdir(exist_ok=True)
    (root / "features" / "m.py").write_text("\n".join(lines), encoding="utf-8")
    found: dict[str, str] = {}
    tree = SourceTree(root)
    for at, (module, name) in enumerate(chosen):
        closure = capture(tree, "features.m", f"f{at}")
        found[f"{module}.{name}"] = sha256(closure.canonical).hexdigest()
    return found


class _Missing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module without contents for packages that are not installed: what needs them fails when it is called."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in ABSENT:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        class Nothing(ModuleType):
            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                return type(name, (Exception,), {})

        return Nothing(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def values(root: Path, modules: str) -> dict[str, str]:
    """The digest of what each function returns for random numbers; without those that raise."""
    import importlib
    import warnings

    warnings.simplefilter("ignore")
    sys.path.insert(0, str(root))
    sys.meta_path.append(_Missing())
    found: dict[str, str] = {}
    for module, name in functions(root, modules):
        try:
            found[f"{module}.{name}"] = digest(called(getattr(importlib.import_module(module), name)))
        except Exception:  # noqa: BLE001  # some need other arguments, or packages that are not there
            continue
    return found


def called(function: Any) -> Any:
    """Calls a function with random numbers for the arguments that have no default."""
    import inspect

    import numpy as np
    import pandas as pd

    np.random.seed(7)  # for functions that draw numbers
    rng = np.random.default_rng(7)
    index = pd.date_range("2020-01-01", periods=400, freq="D")
    close = pd.Series(100 + rng.normal(size=400).cumsum(), index, name="close")
    series = {
        "close": close, "high": close + rng.random(400), "low": close - rng.random(400),
        "open": close + rng.normal(size=400) / 3, "open_": close + rng.normal(size=400) / 3,
        "volume": pd.Series(rng.integers(1, 1000, 400).astype(float), index),
        "returns": close.pct_change().fillna(0), "benchmark": close.shift(3).pct_change().fillna(0),
        "prices": close, "series": close, "x": close.to_numpy(),
    }  # fmt: skip
    given = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD,
        ):  # fmt: skip
            given[parameter.name] = series.get(parameter.name, 3)
    return function(**given)


def digest(value: Any) -> str:
    """The bits of a result. Raises for what has none, such as None."""
    from hashlib import sha256

    import numpy as np
    import pandas as pd

    if value is None:
        raise ValueError("nothing")
    if isinstance(value, tuple | list):
        return sha256("".join(map(digest, value)).encode()).hexdigest()
    if isinstance(value, pd.DataFrame | pd.Series):
        value = value.to_numpy(dtype=float)
    return sha256(np.asarray(value, dtype=float).tobytes()).hexdigest()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--hashes"] or sys.argv[1:2] == ["--values"]:
        answer = (hashes if sys.argv[1] == "--hashes" else values)(Path(sys.argv[2]), sys.argv[3])
        print("\n\n" + json.dumps(answer))
    else:
        main()
