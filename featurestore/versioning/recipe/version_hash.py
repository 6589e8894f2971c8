"""The identity of a version as a value: its hash, and what else is known of its code without following it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

from featurestore.declared_files import declares
from featurestore.frozen import frozen
from featurestore.model import Dependencies, Feature

if TYPE_CHECKING:
    from featurestore.versioning.analysis.limits import Kind
    from featurestore.versioning.recipe.closure import Closure


@frozen
class Limit:
    """Something in the closure that can't be followed without running it.

    ``files`` are the files that it is about, below the project's root, with None for one that the code doesn't name.
    """

    path: str
    line: int
    message: str
    kind: Kind = "code"
    files: tuple[str | None, ...] = ()

    @property
    def place(self) -> str:
        """``features/cardiac.py:12``, for messages."""
        return f"{self.path}:{self.line}"


@frozen
class Outline:
    """What most commands ask of a closure: the project modules that hold its code, and its limits, sorted by place."""

    modules: frozenset[str]
    limits: tuple[Limit, ...]


@frozen
class VersionHash:
    """A version's identity. ``capture`` gives its closure; ``outlined`` is its outline, where that is known already."""

    sha256: str
    recipe: int
    feature: Feature
    capture: Callable[[], Closure] = field(repr=False, compare=False)
    outlined: Outline | None = field(default=None, repr=False, compare=False)

    @property
    def short(self) -> str:
        """The first 12 digits: the ones in a version file's name."""
        return self.sha256[:12]

    @cached_property
    def closure(self) -> Closure:
        """The code. Raises DeclarationError where it is known by its hash only, and is no longer what it was."""
        return self.capture()

    @cached_property
    def outline(self) -> Outline:
        """The modules and the limits of the code."""
        return self.outlined or Outline(self.closure.modules, self.closure.limits)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What decides the values and is neither followed nor declared, sorted by place."""
        return tuple(limit for limit in self.outline.limits if not is_declared(limit, self.feature.depends_on))

    @cached_property
    def parts(self) -> dict[str, str]:
        """The closure's parts and the declared facts, by readable names: what `explain` compares."""
        from featurestore.versioning.recipe.hashing import parts

        return parts(self.feature, self.closure)


def is_declared(limit: Limit, depends_on: Dependencies) -> bool:
    """Whether a limit is about declared files only.

    Of a file that Python opens under a name that the code doesn't give, a run sees which one it is, and reports it
    where it isn't declared. Nobody sees what native code opens, or whether a file was looked for.
    """
    from featurestore.versioning.analysis.limits import OF_FILES  # patterns of many names

    if limit.kind not in OF_FILES or not depends_on.patterns:
        return False
    return all(limit.kind == "file" if file is None else declares(depends_on, file) for file in limit.files)
