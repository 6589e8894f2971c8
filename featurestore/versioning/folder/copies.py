"""Copies of the files that a version declares with ``depends_on``, beside its version file.

``0002-9f86d081884c.files/`` is laid out like the project. A version runs in a folder of its own, which is made of the
copies (or of the project's files, as long as they are still the same): so both ``open("weights.json")`` and
``Path(__file__).parent / "weights.json"`` find what the version was made with.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.atomic import write_atomically
from featurestore.declared_files import LARGEST, kept, read_declared
from featurestore.errors import DeclarationError, VersionFileError
from featurestore.model import DeclaredFile, Feature

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

SUFFIX = ".files"
ATTRIBUTES = ".gitattributes"
# The bytes are those that were hashed, whatever git is told about line ends and filters elsewhere.
_AS_THEY_ARE = b"**/*.files/** -text -filter -ident linguist-generated\n"


def folder_of(version: Path) -> Path:
    """The folder of a version file's copies."""
    return version.with_suffix(SUFFIX)


def write_copies(version: Path, feature: Feature) -> None:
    """Writes the copies that a version file is about to need. Raises OSError.

    A clone may bring links, and a file that is written through one lands wherever it leads to.
    """
    files = kept(feature.depends_on.files)
    if not files:
        return
    for folder in (version.parent, version.parent.parent):
        if folder.is_symlink():
            raise OSError(errno.ELOOP, "is a link: declared files are not written through it", str(folder))
    remove_copies(version)
    for file in files:
        assert file.content is not None, f"{file.path} was not read here"
        write_atomically(folder_of(version) / file.path, file.content)
    attributes = version.parent.parent / ATTRIBUTES
    if not attributes.exists():
        write_atomically(attributes, _AS_THEY_ARE)


def rename_copies(before: Path, after: Path) -> None:
    """Renames the copies with their version file, before it. Raises OSError."""
    if folder_of(before).is_dir():
        folder_of(before).rename(folder_of(after))


def copy_copies(version: Path, other: Path, feature: Feature) -> None:
    """Copies the copies of a version file for another one, before that is written: what was hashed, and nothing else.

    Raises OSError.
    """
    remove_copies(other)
    for file in kept(feature.depends_on.files):
        data = _read(folder_of(version), file)
        if data is not None:  # a damaged one is `check`'s to name
            write_atomically(folder_of(other) / file.path, data)


def remove_copies(version: Path) -> None:
    """Removes the copies of a version file that is gone. Raises OSError."""
    if folder_of(version).is_symlink():
        folder_of(version).unlink()
    elif folder_of(version).is_dir():
        import shutil  # 5 ms that listings don't need

        shutil.rmtree(folder_of(version))


def damaged_copies(version: Path, feature: Feature) -> Iterator[tuple[Path, str]]:
    """The copies that are missing or not what was hashed, each with what is wrong with it."""
    for file in kept(feature.depends_on.files):
        path = folder_of(version) / file.path
        try:
            found = read_declared(folder_of(version), file.path)
        except FileNotFoundError:
            yield path, "is missing: the version does not run without it"
        except (OSError, DeclarationError) as exc:
            yield path, f"can't be read: {exc}"
        else:
            if found.sha256 != file.sha256:
                yield path, "is not the file that was hashed"


def verify_copies(version: Path, feature: Feature) -> None:
    """Raises VersionFileError for a copy that is missing, or not what was hashed."""
    for path, wrong in damaged_copies(version, feature):
        shown = f"{path.relative_to(version.parent).as_posix()} {wrong}"
        raise VersionFileError(shown, where=str(version), hint="restore it from git (git checkout) or a backup")


def missing_copies(feature: Feature) -> list[DeclaredFile]:
    """The files that are too large for a copy: of these a version has only the hash."""
    chosen = {file.path for file in kept(feature.depends_on.files)}
    return [file for file in feature.depends_on.files if file.path not in chosen]


_MADE: dict[tuple[Path, str], TemporaryDirectory[str]] = {}


def working_folder(version: Path, hash_: str, feature: Feature) -> Path | None:
    """A folder, laid out like the project, with the files that a version declares; None where it declares none.

    It is made once, and goes with the process. Raises VersionFileError for a file of which neither a copy nor the
    project's own is what the version was made with.
    """
    if not feature.depends_on.files:
        return None
    import tempfile  # imports `random`, which listings don't need

    key = (version, hash_)
    if key not in _MADE:
        made = tempfile.TemporaryDirectory(prefix="featurestore-", ignore_cleanup_errors=True)
        try:
            for file in feature.depends_on.files:
                _place(version, file, Path(made.name))
        except BaseException:
            made.cleanup()
            raise
        _MADE[key] = made
    return Path(_MADE[key].name).resolve()


def _place(version: Path, file: DeclaredFile, folder: Path) -> None:
    root = version.parents[3]  # above features/.versions/<feature>
    for place in (folder_of(version), root):
        data = _read(place, file)
        if data is not None:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            return
    raise VersionFileError(
        f"runs with {file.path} as it was (sha256 {file.sha256[:12]}, {file.size:,} bytes), which is neither beside it "
        "nor in the project",
        where=str(version),
        hint=f"restore {folder_of(version).name}/{file.path}, or {file.path}, from git (git checkout) or a backup",
    )


def _read(folder: Path, file: DeclaredFile) -> bytes | None:
    """The file's bytes from a folder, where it is the file that was hashed."""
    try:
        found = read_declared(folder, file.path)
        if found.sha256 != file.sha256:
            return None
        data = found.content if found.content is not None else (folder / file.path).read_bytes()[: LARGEST + 1]
    except (OSError, DeclarationError):
        return None
    return data if sha256(data).hexdigest() == file.sha256 else None
