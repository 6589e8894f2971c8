"""What every command shares: the global options, the project, and the two streams.

Results go to stdout, everything else to stderr. With ``--json`` stdout gets exactly one document.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any

from featurestore.config import Project, find_root, load_project
from featurestore.errors import UsageError
from featurestore.frozen import dataclass
from featurestore.render.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from featurestore.offline.contract import OfflineStore


@dataclass(frozen=True, slots=True)
class Session:
    """The global options of one invocation. Commands get it as ``ctx.obj``."""

    folder: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    traceback: bool = False
    lock_timeout: float | None = None
    _said: set[str] = field(default_factory=set, compare=False, repr=False)

    def project(self, *, memory: str | None = None) -> Project:
        """The project that the options, the environment or the current folder name."""
        return load_project(find_root(named=self.folder), lock_timeout=self.lock_timeout, memory=memory)

    def offline(self, project: Project) -> OfflineStore:
        """The project's offline store, not yet connected to. What is unsafe about the way to it is said, once."""
        from featurestore.offline.open import open_offline

        store = open_offline(project)
        for warning in store.warnings:
            if warning not in self._said:
                self._said.add(warning)
                self.warn(warning)
        return store

    def show(self, document: Callable[[], Mapping[str, Any]], text: Callable[[], RenderableType]) -> None:
        """Prints a result: the document with ``--json``, else the text; with ``-q`` only the document.

        The other one is not built, so that ``--json`` imports no Rich.
        """
        if self.json:
            self.write_json(document())
        elif not self.quiet:
            from featurestore.render.console import print_result

            print_result(text())

    def write_json(self, document: Mapping[str, Any]) -> None:
        from featurestore.render.json.writing import write_document

        sys.stdout.write(write_document(document))
        sys.stdout.flush()

    def note(self, message: str) -> None:
        """A line for people on stderr; nothing with ``-q``."""
        if not self.quiet:
            sys.stderr.write(printable(message) + "\n")

    def warn(self, message: str) -> None:
        self.note(f"warning: {message}")

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[str], None]]:
        """A spinner with a changing line on a terminal's stderr, for work that may take over a second."""
        if self.quiet or self.json or not sys.stderr.isatty():
            yield lambda _line: None
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(what)) as status:
            yield lambda line: status.update(Text(printable(line)))


_FLAGS = {"--json": "json", "-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose",
          "--traceback": "traceback"}  # fmt: skip
_VALUES = {"-C": "folder", "--project": "folder", "--lock-timeout": "lock_timeout"}


def split_global_options(arguments: list[str]) -> tuple[Session, list[str]]:
    """Takes the global options out of the arguments, wherever they stand before ``--``. Raises UsageError."""
    found: dict[str, Any] = {}
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        name, equals, value = item.partition("=")
        if item == "--":
            rest += ["--", *items]
        elif item in _FLAGS:
            found[_FLAGS[item]] = True
        elif name in _VALUES and (equals or name == item):
            value = value if equals else next(items, "")
            if not value:
                raise UsageError(f"{name} needs a value", hint=f"{name} {'SECONDS' if 'lock' in name else 'DIR'}")
            found[_VALUES[name]] = _seconds(value) if name == "--lock-timeout" else value
        else:
            rest.append(item)
    return Session(**found), rest


def _seconds(text: str) -> float:
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        raise UsageError(f"--lock-timeout {text!r} is not a number of seconds") from None
