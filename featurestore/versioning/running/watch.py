"""Watches what a feature's code opens, starts and connects to, by Python's audit events.

One hook for the process, which can't be taken away again: it looks at events only on a thread that watches, while a
feature's modules are imported or its function runs. What such code starts on other threads or in other processes is not
seen; nor is what native code opens by itself, the environment, the clock, or whether a file was looked for: these are
found in the code, by name (`analysis.limits`).

Left out is what imports open: an event whose innermost caller is Python's import system, and not code of the project.
So are the files of the installation, and files that the code has written itself.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from featurestore.versioning.folder.observed import MOST, Kind, Observation, in_order
from featurestore.versioning.running.isolation import TextLoader

_IMPORTS = "<frozen importlib"
_ZIPS = "<frozen zipimport"
_OURSELVES = "featurestore.versioning."
_DEEPEST = 200
_WRITES_ONLY = os.O_WRONLY
_NEW = os.O_CREAT | os.O_EXCL
_SYSTEM = ("/usr/share/zoneinfo", "/etc/localtime", "/dev/null", "/dev/urandom", "/dev/random", "/proc/self", "/dev/fd")


Imported = dict[str, dict[Observation, None]]
"""What each module of a project met while it was imported."""


class Watch:
    """Collects what one feature meets.

    ``root`` is the folder that paths are relative to. ``imported`` is shared by all features of a run: a module is
    imported once, for the first feature that needs it, and what it met then counts for all that import it.
    """

    def __init__(self, root: Path, imported: Imported | None = None) -> None:
        self.root = os.path.realpath(root)
        self._imported: Imported = {} if imported is None else imported
        self._seen: dict[Observation, None] = {}
        self._written: set[str] = set()

    def observations(self, modules: Iterable[str] = ()) -> tuple[Observation, ...]:
        """What was seen while the function ran and these modules were imported, sorted by kind and name."""
        seen = {**self._seen}
        for module in modules:
            seen.update(self._imported.get(module, {}))
        return in_order(seen)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches this thread for a while. Watches may be nested: the innermost one sees."""
        _install()
        before = getattr(_THREAD, "watch", None)
        _THREAD.watch = self
        try:
            yield
        finally:
            _THREAD.watch = before

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Takes one audit event."""
        caller = _caller()
        if caller is None:
            return
        seen = self._imported.setdefault(caller, {}) if caller else self._seen
        found = _EVENTS[event](self, arguments) if len(seen) < MOST else None
        if found is not None:
            seen[found] = None

    # What events mean

    def opened(self, arguments: tuple[Any, ...]) -> Observation | None:
        path, mode, flags = (*arguments, None, None)[:3]
        place = self._place(path)
        if place is None:
            return None
        flags = flags if isinstance(flags, int) else 0
        if isinstance(mode, str):
            writes, makes = mode[:1] in ("w", "a", "x"), "+" not in mode
        else:
            writes, makes = bool(flags & (os.O_WRONLY | os.O_RDWR)), flags & os.O_ACCMODE == _WRITES_ONLY
        if (writes and makes) or flags & _NEW == _NEW or (isinstance(mode, str) and mode[:1] in ("w", "x")):
            self._written.add(place)
            return None
        return self._file("file", place)

    def listed(self, arguments: tuple[Any, ...]) -> Observation | None:
        place = self._place(arguments[0] if arguments and arguments[0] is not None else ".")
        return None if place is None else self._file("folder", place)

    def read(self, arguments: tuple[Any, ...]) -> Observation | None:
        place = self._place(arguments[0])
        return None if place is None else self._file("file", place)

    def loaded(self, arguments: tuple[Any, ...]) -> Observation | None:
        name = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
        return Observation("library", self._shown(name) if os.sep in name else name) if name else None

    def started(self, arguments: tuple[Any, ...]) -> Observation | None:
        words = arguments[0] if arguments[0] is not None else (*arguments, ())[1]
        return self._program(words if isinstance(words, str | bytes | os.PathLike) else next(iter(words or ()), ""))

    def spawned(self, arguments: tuple[Any, ...]) -> Observation | None:
        return self._program((*arguments, "")[1])

    def forked(self, _: tuple[Any, ...]) -> Observation | None:
        return Observation("program", "a copy of this process")

    def commanded(self, arguments: tuple[Any, ...]) -> Observation | None:
        # A command may begin with settings: `TOKEN=… curl`.
        words = os.fsdecode(arguments[0]).split()
        return self._program(next((word for word in words if "=" not in word), ""))

    def connected(self, arguments: tuple[Any, ...]) -> Observation | None:
        address = arguments[-1]
        if isinstance(address, tuple) and len(address) >= 2:
            return Observation("address", f"{_host(address[0])}:{address[1]}")
        return Observation("address", self._shown(os.fsdecode(address))) if isinstance(address, str | bytes) else None

    def resolved(self, arguments: tuple[Any, ...]) -> Observation | None:
        host, port = (*arguments, None)[:2]
        return None if host is None else Observation("address", f"{_host(host)}:{port}" if port else _host(host))

    def requested(self, arguments: tuple[Any, ...]) -> Observation | None:
        parts = urlsplit(str(arguments[0]))
        if parts.scheme == "file":
            return self._file("file", os.path.realpath(parts.path))
        return Observation("address", f"{parts.scheme}://{parts.hostname or ''}{parts.path}")

    def attached(self, arguments: tuple[Any, ...]) -> Observation | None:
        name = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if not name or name == ":memory:":
            return None
        return self._file("file", os.path.realpath(name.removeprefix("file:").partition("?")[0]))

    def _program(self, name: Any) -> Observation | None:
        text = _text(name)
        return Observation("program", os.path.basename(text)) if text else None  # noqa: PTH119  # of a text

    def _place(self, path: Any) -> str | None:
        """The real path; None for a handle, which was opened somewhere."""
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        try:
            return os.path.realpath(os.fsdecode(path))
        except (OSError, ValueError):
            return None

    def _file(self, kind: Kind, place: str) -> Observation | None:
        if place in self._written or place.startswith(_SYSTEM) or self._is_installed(place):
            return None
        if kind == "folder" and any(os.path.dirname(path) == place for path in self._written):  # noqa: PTH120
            return None
        return Observation(kind, self._shown(place))

    def _is_installed(self, place: str) -> bool:
        """Whether a file belongs to Python or a package: one below the project only where these are, too."""
        inside = place.startswith(self.root + os.sep)
        return any(place.startswith(folder) and (not inside or folder.startswith(self.root)) for folder in _installed())

    def _shown(self, place: str) -> str:
        """A path from the project's root, where it is inside."""
        if place == self.root:
            return "."
        if place.startswith(self.root + os.sep):
            place = place[len(self.root) + 1 :]
        return place.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode()


def _host(value: Any) -> str:
    return _text(value).rpartition("@")[2]  # a URL that was cut badly may have a password before the host


def _text(value: Any) -> str:
    if isinstance(value, str | bytes | os.PathLike):
        return os.fsdecode(value).encode("utf-8", "backslashreplace").decode()
    return ""


_EVENTS: dict[str, Callable[[Watch, tuple[Any, ...]], Observation | None]] = {
    "open": Watch.opened,
    **dict.fromkeys(("os.listdir", "os.scandir", "os.walk", "os.fwalk"), Watch.listed),
    **dict.fromkeys(("shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.unpack_archive"), Watch.read),
    "ctypes.dlopen": Watch.loaded,
    **dict.fromkeys(("subprocess.Popen", "os.exec", "os.posix_spawn", "os.startfile", "pty.spawn"), Watch.started),
    "os.spawn": Watch.spawned,
    **dict.fromkeys(("os.fork", "os.forkpty"), Watch.forked),
    "os.system": Watch.commanded,
    **dict.fromkeys(("socket.connect", "socket.sendto"), Watch.connected),
    **dict.fromkeys(
        (
            "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "ftplib.connect", "smtplib.connect",
            "imaplib.open", "poplib.connect", "nntplib.connect", "telnetlib.Telnet.open", "http.client.connect",
        ),
        Watch.resolved,
    ),
    **dict.fromkeys(("urllib.Request", "webbrowser.open"), Watch.requested),
    "sqlite3.connect": Watch.attached,
}  # fmt: skip
# Of these the first argument is the object that connects.
_OF_OBJECTS = {
    "ftplib.connect", "smtplib.connect", "imaplib.open", "poplib.connect", "nntplib.connect", "telnetlib.Telnet.open",
    "http.client.connect",
}  # fmt: skip

_THREAD = threading.local()
_INSTALL = threading.Lock()
_installed_hook = False
_installation: tuple[str, ...] | None = None


def _install() -> None:
    global _installed_hook
    with _INSTALL:
        if not _installed_hook:
            sys.addaudithook(_hook)
            _installed_hook = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Called for every event of every thread, for as long as the process lives: hardly anything happens here.
    if event not in _EVENTS:
        return
    watch = getattr(_THREAD, "watch", None)
    if watch is None:
        return
    _THREAD.watch = None  # what looking does itself is not looked at
    try:
        watch.see(event, arguments[1:] if event in _OF_OBJECTS else arguments)
    except Exception:  # noqa: BLE001, S110  # an exception would forbid the user's code what it does
        pass
    finally:
        _THREAD.watch = watch


def _caller() -> str | None:
    """Which code of a project has made the event, directly or through packages: the module that is being imported.

    Empty where a function runs; None where no such code has made it, but an import of another package or ourselves.
    """
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001  # what `inspect` does, without reading files
    users = False
    for _ in range(_DEEPEST):
        if frame is None:
            break
        name = frame.f_globals.get("__name__") or ""
        if isinstance(frame.f_globals.get("__loader__"), TextLoader):
            users = True
            if frame.f_code.co_name == "<module>":
                return str(name)
        elif not users:
            ours = name.startswith(_OURSELVES) and frame.f_code.co_name != TextLoader.get_data.__name__
            if ours or frame.f_code.co_filename.startswith((_IMPORTS, _ZIPS)):
                return None
            if name in ("traceback", "warnings", "logging", "mimetypes"):
                return None
        frame = frame.f_back
    return "" if users else None


def _installed() -> tuple[str, ...]:
    """The folders of Python and its packages."""
    global _installation
    if _installation is None:
        names = ("stdlib", "platstdlib", "purelib", "platlib", "include")
        places = {sysconfig.get_paths().get(name) for name in names} | {sys.prefix, sys.base_prefix}
        places |= {path for path in sys.path if "site-packages" in path or "dist-packages" in path}
        folders = {os.path.realpath(path) for path in places if path}
        # A prefix such as /usr holds more than Python: only its libraries.
        _installation = tuple(
            os.path.join(folder, "lib") + os.sep if folder in ("/usr", "/usr/local", "/") else folder + os.sep  # noqa: PTH118
            for folder in sorted(folders)
        )
    return _installation
