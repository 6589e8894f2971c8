"""The files that a feature declares with ``depends_on``: found by name, read once, refused where they are not plain.

Paths are relative to the project's folder, written with ``/``. A pattern is a path with ``*``, ``?``, ``[…]`` in a part
or ``**`` for folders; it never follows a link to a folder, and leaves hidden names out unless it names them.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from featurestore.errors import DeclarationError
from featurestore.model import DeclaredFile, Dependencies

LARGEST = 64 << 20
"""The bytes that a declared file may have: it is read whenever the feature is hashed."""
MOST = 1_000
"""The files that one feature may declare."""
KEPT_EACH, KEPT_TOGETHER = 1 << 20, 10 << 20
"""The bytes of a file, and of all of a version's files together, of which a copy is kept beside the version file."""

_BLOCK = 1 << 20
_OURS = ("featurestore.toml", "features/.versions", ".featurestore", ".git")


class DeclaredFiles:
    """Reads the declared files of one project, each once: what is hashed and kept is one reading of it.

    ``exported`` is a folder that was written from git's objects, in which files of Git LFS are pointers.
    """

    def __init__(self, root: Path, *, exported: bool = False) -> None:
        self.root = root
        self._exported = exported
        self._read: dict[str, DeclaredFile] = {}

    def find(self, patterns: Sequence[str]) -> tuple[DeclaredFile, ...]:
        """The files of some paths and patterns, sorted by path.

        Raises DeclarationError, which names the path, for one that is not there, that fits no file, or whose file is
        a folder, a device or a pipe, leads out of the project, or is too large.
        """
        paths: dict[str, None] = {}
        for pattern in patterns:
            check_pattern(pattern)
            found = list(self._fitting(pattern)) if is_pattern(pattern) else [pattern]
            if not found:
                raise DeclarationError(f"depends_on={pattern!r} fits no file", hint=_FROM_HERE)
            paths.update(dict.fromkeys(found))
            if len(paths) > MOST:
                raise DeclarationError(f"depends_on={pattern!r} fits more than {MOST:,} files", hint="name fewer")
        return tuple(self._file(path) for path in sorted(paths))

    def _fitting(self, pattern: str) -> Iterator[str]:
        wanted = re.compile(_expression(pattern))
        parts = pattern.split("/")
        fixed = next(at for at, part in enumerate(parts) if is_pattern(part))
        start, depth = "/".join(parts[:fixed]), None if "**" in parts else len(parts)
        hidden = any(part.startswith(".") for part in parts[fixed:])
        for folder, folders, names in os.walk(self.root / start):
            inside = Path(folder).relative_to(self.root).parts
            folders[:] = sorted(
                name
                for name in folders
                if (hidden or not name.startswith("."))
                and (depth is None or len(inside) + 1 < depth)
                and "/".join((*inside, name)) not in _OURS
            )
            yield from (path for name in names if wanted.fullmatch(path := "/".join((*inside, name))))

    def _file(self, path: str) -> DeclaredFile:
        if path not in self._read:
            try:
                self._read[path] = read_declared(self.root, path, exported=self._exported)
            except OSError as exc:
                missing = exc.errno in (errno.ENOENT, errno.ENOTDIR)
                reason = "there is no such file" if missing else f"it can't be read: {exc.strerror}"
                raise DeclarationError(f"depends_on={path!r}: {reason}", hint=_FROM_HERE) from exc
        return self._read[path]


_FROM_HERE = 'paths are relative to the project\'s folder, such as depends_on=["weights.json", "sql/*.sql"]'


class NamedFiles(DeclaredFiles):
    """Only notes the paths and patterns, for who has yet to fetch the files."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.patterns: dict[str, None] = {}

    def find(self, patterns: Sequence[str]) -> tuple[DeclaredFile, ...]:
        """Nothing."""
        self.patterns.update(dict.fromkeys(patterns))
        return ()


def check_pattern(pattern: str) -> None:
    """Raises DeclarationError for a path that is not one below the project's folder."""
    parts = pattern.split("/")
    reason = None
    if not pattern or "\0" in pattern or "\\" in pattern or "\n" in pattern:
        reason = "is not a path"
    elif pattern.startswith(("/", "~")):
        reason = "is not relative to the project's folder"
    elif ".." in parts:
        reason = "leads out of the project"
    elif "." in parts or "" in parts:
        reason = "is not written plainly"
    elif re.fullmatch(r"\.env(\..*)?", parts[-1]):
        reason = "names secrets, and a copy of it would be committed"
    elif any(pattern == ours or pattern.startswith(f"{ours}/") for ours in _OURS):
        reason = "names a file of the store"
    elif any(0xD800 <= ord(letter) < 0xE000 for letter in pattern):
        reason = "is not UTF-8"
    if reason is not None:
        raise DeclarationError(f"depends_on={pattern!r} {reason}", hint=_FROM_HERE)


def is_pattern(path: str) -> bool:
    """Whether a path may stand for several."""
    return any(letter in path for letter in "*?[")


def fits(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path is one of these, or fits one of these patterns."""
    return any(path == item or (is_pattern(item) and re.fullmatch(_expression(item), path)) for item in patterns)


def read_declared(root: Path, path: str, *, exported: bool = False) -> DeclaredFile:
    """One file, hashed; with its bytes where a copy of it may be kept.

    Raises DeclarationError for what is no plain file of bounded size inside the project, and OSError.
    """

    def refuse(reason: str, hint: str | None = None) -> DeclarationError:
        return DeclarationError(f"depends_on={path!r}: {reason}", hint=hint)

    try:
        path.encode()
    except UnicodeEncodeError:
        raise refuse("its name is not UTF-8", "rename it") from None
    place = root / path
    real = Path(os.path.realpath(place, strict=True))  # `resolve` gives a loop of links no error of the system
    if not real.is_relative_to(root.resolve()):
        raise refuse("it is a link out of the project", "copy the file into the project")
    # Opening a pipe would wait for its writer, and some devices act when they are opened.
    before = real.stat()
    if stat.S_ISDIR(before.st_mode):
        raise refuse("it is a folder", f'name its files: depends_on=["{path}/*"]')
    if not stat.S_ISREG(before.st_mode):
        raise refuse("it is not a plain file", "make it one")
    handle = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(handle, "rb") as file:  # noqa: PTH123  # a handle
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise refuse("it is not a plain file", "make it one")
        digest, size, blocks = sha256(), 0, []
        while block := file.read(_BLOCK):
            size += len(block)
            if size > LARGEST:
                raise refuse(f"it is larger than {LARGEST >> 20} MB", "make it a source, or name its digest in params")
            digest.update(block)
            if size <= KEPT_EACH:
                blocks.append(block)
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
    pointer = _pointed_to(blocks[0]) if size < 1024 and blocks else None
    if pointer is not None:
        if not exported:
            raise refuse("it is a pointer of Git LFS", "git lfs pull")
        return DeclaredFile(path, *pointer)
    return DeclaredFile(path, digest.hexdigest(), size, b"".join(blocks) if size <= KEPT_EACH else None, stamp)


def _pointed_to(data: bytes) -> tuple[str, int] | None:
    """The digest and the size of the file that a pointer of Git LFS stands for."""
    if not data.startswith(b"version https://git-lfs.github.com/spec/"):
        return None
    found = re.search(rb"^oid sha256:([0-9a-f]{64})\nsize ([0-9]+)$", data, re.MULTILINE)
    return None if found is None else (found[1].decode(), int(found[2]))


def kept(files: Iterable[DeclaredFile]) -> list[DeclaredFile]:
    """Those of which copies are kept beside the version file: the small ones, until they are many."""
    chosen, together = [], 0
    for file in files:
        if file.size <= KEPT_EACH and together + file.size <= KEPT_TOGETHER:
            chosen.append(file)
            together += file.size
    return chosen


def changed_since(root: Path, file: DeclaredFile) -> bool:
    """Whether a file is no longer the one that was hashed."""
    try:
        status = (root / file.path).stat()
        if (status.st_ino, status.st_mtime_ns, status.st_size) == file.stamp:
            return False
        return read_declared(root, file.path).sha256 != file.sha256
    except (OSError, DeclarationError):
        return True


_FOLDERS = r"(?:(?!\.)[^/]+/)*"


def _expression(pattern: str) -> str:
    """A pattern as a regular expression for whole paths; a star is never a leading dot, nor a slash.

    What follows a star is taken where it comes first, and for good: with a choice at every star, a pattern of some
    stars and a long name would take for ever.
    """
    groups: list[list[str]] = [[]]
    for part in pattern.split("/"):
        if part != "**":
            groups[-1].append(f"{_part(part)}/")
        elif groups[-1] or len(groups) == 1:
            groups.append([])
    whole = _in_turn(_FOLDERS, ["".join(group) for group in groups])
    return whole.removesuffix("/") if groups[-1] else whole + r"(?!\.)[^/]+"


def _part(part: str) -> str:
    """One part of a path."""
    groups: list[list[str]] = [[]]
    for piece in re.findall(r"\*+|\?|\[!?\]?[^\]]*\]|.", part, re.DOTALL):
        if piece.startswith("*"):
            groups.append([])
        else:
            groups[-1].append(_piece(piece))
    hidden = "" if part.startswith(".") or not is_pattern(part) else r"(?!\.)"
    return hidden + _in_turn("[^/]*", ["".join(group) for group in groups])


def _in_turn(anything: str, groups: list[str]) -> str:
    """The groups with anything between them."""
    first, *others = groups
    if not others:
        return first
    return first + "".join(f"(?>{anything}?{group})" for group in others[:-1]) + anything + others[-1]


def _piece(piece: str) -> str:
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
        return (
            "[" + ("^/" if piece[1] == "!" else "") + re.escape(piece[1:-1].removeprefix("!")).replace(r"\-", "-") + "]"
        )
    return re.escape(piece)


def declares(depends_on: Dependencies, path: str) -> bool:
    """Whether a path or pattern is declared, or a folder of which a pattern takes the files."""
    patterns = depends_on.patterns
    folder = "" if path == "." else f"{path}/"
    return (
        fits(path, patterns)
        or path in patterns
        or any(is_pattern(item) and item.startswith(folder) and not path.endswith("*") for item in patterns)
    )
