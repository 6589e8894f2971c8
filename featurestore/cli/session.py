"""What every command shares: the global options, the project, and the output streams.

Results go to stdout, everything else to stderr. With ``--json`` stdout gets exactly one document.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any

from featurestore.cli.streams import say
from featurestore.config import FILE, Project, find_root, load_project
from featurestore.errors import CancelledError, UsageError
from featurestore.frozen import frozen
from featurestore.progress import SILENT, Progress
from featurestore.render.printable import one_line, printable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from featurestore.offline.contract import OfflineStore


class Answer:
    """Whether a command's answer on stdout has begun."""

    begun = False


@frozen
class Session:
    """The global options of one invocation. Commands get it as ``ctx.obj``."""

    folder: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    traceback: bool = False
    lock_timeout: float | None = None
    version: bool = False
    answer: Answer = field(default_factory=Answer, compare=False, repr=False)
    _began: float = field(default_factory=time.monotonic, compare=False, repr=False)
    _said: set[str] = field(default_factory=set, compare=False, repr=False)
    _warnings: list[str] = field(default_factory=list, compare=False, repr=False)
    _stores: list[OfflineStore] = field(default_factory=list, compare=False, repr=False)

    def root(self) -> Path:
        """The folder of the project that the options, the environment or the current folder name."""
        return find_root(named=self.folder)

    def project(self, *, memory: str | None = None) -> Project:
        """The project, as its featurestore.toml says. Raises ConfigError or NoProjectError."""
        project = load_project(self.root(), lock_timeout=self.lock_timeout, memory=memory)
        stores = f"offline store: {_store(project.offline_url)}, online store: {_store(project.online_url)}"
        self.detail(f"project {project.name}, {project.root / FILE}; {stores}")
        return project

    def offline(self, project: Project) -> OfflineStore:
        """The project's offline store, not yet connected to. Warns, once, where the connection would be unsafe."""
        from featurestore.offline.open import open_offline

        store = open_offline(project)
        self._stores.append(store)
        self._warn_once(store.warnings)
        return store

    def close(self) -> None:
        """The command is over: says in what state it found the stores, once."""
        self._warn_once(self._notices())

    def _notices(self) -> list[str]:
        return [notice for store in self._stores for notice in store.notices]

    def _warn_once(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            if warning not in self._said:
                self._said.add(warning)
                self.warn(warning)

    def show(self, document: Callable[[], Mapping[str, Any]], text: Callable[[], RenderableType]) -> None:
        """Prints a result: the document with ``--json``, else the text; with ``-q`` only the document.

        The other one is not built, so that ``--json`` imports no Rich; nor does a text that is a string.
        """
        if self.json:
            self.write_json(document())
        elif not self.quiet:
            shown = text()
            if isinstance(shown, str):
                if shown:
                    self.write_text(f"{shown}\n")
                return
            from featurestore.render.console import print_result

            print_result(shown)

    def show_problems(self, lines: Callable[[], Sequence[str]], text: Callable[[], RenderableType | None]) -> None:
        """Prints on stderr what failed or was left out, with ``-q`` too; with ``--json`` as lines, without Rich."""
        sys.stdout.flush()
        found = lines()
        if not found:  # without Rich, which a quiet run needs for nothing else
            return
        if self.json:
            for line in found:
                self.report(f"error: {line}")
            return
        shown = text()
        if shown is not None:
            from featurestore.render.console import print_problem

            with suppress(OSError, ValueError):  # nobody reads it
                print_problem(shown)

    def write_text(self, text: str) -> None:
        """Writes lines for people to stdout: what data brings into them is written out, never obeyed."""
        sys.stdout.write(printable(text))

    def write_json(self, document: Mapping[str, Any]) -> None:
        """Writes a document. Its ``warnings`` are its own, whatever else was warned of, and the state of the stores."""
        if others := [*self._warnings, *self._notices()]:
            document = {**document, "warnings": [*dict.fromkeys([*document.get("warnings", ()), *others])]}
        from featurestore.render.json.writing import write_document

        self.answer.begun = True
        sys.stdout.write(write_document(document))
        sys.stdout.flush()

    def answer_in_lines(self) -> None:
        """From here on the answer is a stream of lines until a signal ends it, and has no document at its end."""
        self.answer.begun = True

    def write_json_line(self, document: Mapping[str, Any]) -> None:
        """Writes one document of a stream of them, on a line of its own."""
        from featurestore.render.json.writing import write_line

        sys.stdout.write(write_line(document))

    def report(self, message: str) -> None:
        """A line for people on stderr, with ``-q`` too: what is wrong."""
        say(one_line(message))

    def note(self, message: str) -> None:
        """A line for people on stderr; nothing with ``-q``."""
        if not self.quiet:
            self.report(message)

    def report_reasons(self, lines: Iterable[str], *, fails: bool = False) -> None:
        """Says what is left undone or can't be used: as errors where that fails the command, and with ``-q``."""
        word = "error" if fails or self.quiet else "warning"
        for line in lines:
            self.report(f"{word}: {line}")

    def report_findings(self, lines: Iterable[str]) -> None:
        """With ``-q``, which leaves out the result, says why the exit code is 1."""
        if self.quiet and not self.json:
            self.report_reasons(lines)

    def warn(self, message: str) -> None:
        """A warning on stderr, which a document that is written later carries too."""
        self._warnings.append(message)
        self.note(f"warning: {message}")

    def warn_all(self, warnings: Iterable[str], reasons: Collection[str] = ()) -> None:
        """Warnings; those that are reasons why the exit code is 3 are said with ``-q`` too."""
        for line in warnings:
            if line in reasons:
                self.report_reasons([line])
            else:
                self.warn(line)

    def detail(self, message: str) -> None:
        """A line on stderr for ``-v``: a step, after the seconds since the command began."""
        if self.verbose:
            self.note(f"{time.monotonic() - self._began:7.2f} s  {message}")

    def confirm(self, question: Callable[[], str], *, agreed: bool) -> None:
        """Asks on stderr before something that can't be taken back. Raises CancelledError for any answer but yes.

        Only where somebody sits at a terminal, and has not agreed beforehand.
        """
        if agreed or not sys.stdin.isatty():
            return
        sys.stderr.write(f"{one_line(question())} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CancelledError("cancelled: nothing was changed")

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress]:
        """Where long work reports its steps: a spinner on a terminal, with ``-v`` lines on stderr, else nowhere."""
        if self.verbose:
            self.detail(what)
            yield Progress(report=self.detail)
        elif self.quiet or self.json or not sys.stderr.isatty():
            yield SILENT
        else:
            from rich.console import Console
            from rich.text import Text

            with Console(stderr=True).status(Text(what)) as status:
                yield Progress(report=lambda line: status.update(Text(printable(line))))


def _store(url: str | None) -> str:
    """The kind of store, and nothing else of a url: any part of it may be a password."""
    kind = "embedded" if url is None else url.partition(":")[0]
    return kind if kind in _STORES else "another"


_STORES = ("embedded", "postgresql", "postgres", "redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
_FLAGS = {"--json": "json", "-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose",
          "--traceback": "traceback", "-V": "version", "--version": "version"}  # fmt: skip
_VALUES = {"-C": "folder", "--project": "folder", "--lock-timeout": "lock_timeout"}


def split_global_options(arguments: list[str], answer: Answer) -> tuple[Session, list[str]]:
    """Takes the global options out of the arguments, wherever they stand before ``--``. Raises UsageError."""
    options: dict[str, Any] = {"answer": answer}
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        name, equals, value = item.partition("=")
        if item == "--":
            rest += ["--", *items]
        elif len(item) > 2 and item[0] == "-" and all(f"-{letter}" in _FLAGS for letter in item[1:]):  # -vq
            options |= {_FLAGS[f"-{letter}"]: True for letter in item[1:]}
        elif item in _FLAGS:
            options[_FLAGS[item]] = True
        elif name in _VALUES and (equals or name == item):
            value = value if equals else next(items, "")
            if not value:
                raise UsageError(f"{name} needs a value", hint=f"{name} {'SECONDS' if 'lock' in name else 'DIR'}")
            options[_VALUES[name]] = _seconds(value) if name == "--lock-timeout" else value
        else:
            rest.append(item)
    return Session(**options), rest


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):  # "nan" too, which would wait forever
        raise UsageError(f"--lock-timeout {text!r} is not a number of seconds")
    return seconds
