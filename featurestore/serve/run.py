"""Starts the server: its socket, its worker processes, and how they end."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore.errors import ConfigError, UsageError, os_reason
from featurestore.frozen import frozen
from featurestore.serve.settings import Settings
from featurestore.signals import ENDING

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = ("127.0.0.1", "::1", "localhost")
GRACE_SECONDS = 30
FIRST_PASSED_SOCKET = 3  # as systemd numbers the sockets that it hands over
BACKLOG = 2048


@frozen
class Tls:
    """A certificate, with those that it rests on, and its key, as files in PEM."""

    certificate: Path
    key: Path


@frozen
class Place:
    """Where to listen: a host and a port (0 for a free one), or the path of a Unix socket; with ``tls`` encrypted."""

    host: str = "127.0.0.1"
    port: int = 8000
    uds: Path | None = None
    tls: Tls | None = None


def is_local(place: Place) -> bool:
    """Whether only this machine can connect, by the network."""
    return place.uds is None and place.host in LOOPBACK


def check_access(place: Place, *, tokens: bool, insecure: bool) -> None:
    """Raises UsageError where anybody in the network could read everything."""
    if place.uds is None and not is_local(place) and not tokens and not insecure:
        raise UsageError(
            f"{place.host} can be reached by other machines, and no token is asked for",
            hint="--token-file FILE; or --insecure, where the network itself lets nobody in",
        )


def read_tls(certificate: str | None, key: str | None) -> Tls | None:
    """The files, where they fit each other. Raises UsageError."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("--tls-cert and --tls-key belong together", hint="give both, or neither")
    import ssl

    found = Tls(Path(certificate).absolute(), Path(key).absolute())
    try:
        # Without a password: OpenSSL would ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found.certificate, found.key, password="")
    except ssl.SSLError as exc:
        what = "are not a certificate and its key in PEM, without a password"
        raise UsageError(f"--tls-cert and --tls-key: {what} ({exc.reason or 'unreadable'})") from exc
    except OSError as exc:
        missing = next((path for path in (certificate, key) if not os.access(path, os.R_OK)), certificate)
        raise UsageError(f"can't be read: {os_reason(exc)}", where=missing) from exc
    return found


def open_socket(place: Place) -> tuple[socket.socket, str]:
    """A listening socket and its address; the one that systemd hands over, if it does. Raises UsageError."""
    passed = _passed_socket()
    if passed is not None:
        return passed, "a socket of systemd"
    if place.uds is not None:
        return _open_unix(place.uds), f"unix:{place.uds}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as exc:
        raise UsageError(
            f"can't listen at {place.host} port {place.port}: {os_reason(exc)}", hint="choose another --port"
        ) from exc
    host = f"[{place.host}]" if ":" in place.host else place.host
    scheme = "http" if place.tls is None else "https"
    return opened, f"{scheme}://{host}:{opened.getsockname()[1]}"


def serve(
    settings: Settings, listening: socket.socket, workers: int, started: Callable[[], None], tls: Tls | None = None
) -> None:
    """Serves until a signal comes; then requests in flight are answered. ``started`` is called before the first one.

    Several workers are processes of their own, and one that dies is started again. Raises what `app.make_app` raises.
    """
    import uvicorn

    common: dict[str, Any] = {
        "access_log": False, "log_level": "warning", "server_header": False, "proxy_headers": False,
        "timeout_graceful_shutdown": GRACE_SECONDS, "ws": "none", "lifespan": "on",
        "loop": "featurestore.serve.loop:ServingLoop",
        "ssl_certfile": None if tls is None else tls.certificate, "ssl_keyfile": None if tls is None else tls.key,
    }  # fmt: skip
    with ExitStack() as ending, suppress(KeyboardInterrupt):
        settings.export()
        if workers > 1:
            folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="featurestore-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            started()
            config = uvicorn.Config(
                "featurestore.serve.app:create", factory=True, workers=workers, backlog=BACKLOG, **common
            )
            _run_workers(config, listening)
            return
        from featurestore.serve.app import make_app

        started()
        uvicorn.Server(uvicorn.Config(make_app(settings), **common)).run(sockets=[listening])


def _run_workers(config: uvicorn.Config, listening: socket.socket) -> None:
    """Serves by several processes. The signal that ends them is sent again for those who waited for it before."""
    from uvicorn.supervisors import Multiprocess

    class Supervisor(Multiprocess):
        ended_by: int | None = None

        def handle_signals(self) -> None:
            self.ended_by = next((number for number in self.signal_queue if number in ENDING), self.ended_by)
            super().handle_signals()

    before = {number: signal.getsignal(number) for number in ENDING}
    supervisor = Supervisor(config, [listening])
    supervisor.run()
    for number, handler in before.items():
        signal.signal(number, handler)
    if supervisor.ended_by is None:
        raise ConfigError("a worker could not start", hint="without --workers the reason is said")
    signal.raise_signal(supervisor.ended_by)


def _passed_socket() -> socket.socket | None:
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS", "0") == "0":
        return None
    if os.environ["LISTEN_FDS"] != "1":
        raise ConfigError("systemd hands over several sockets", hint="one ListenStream= in the socket unit")
    os.environ.pop("LISTEN_PID")
    return socket.socket(fileno=FIRST_PASSED_SOCKET)


def _open_unix(path: Path) -> socket.socket:
    """A Unix socket that only its owner and group may use. One that was left behind is replaced, a live one is not."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if path.is_socket() and not _answers(path):
                path.unlink()
        before = os.umask(0o117)
        try:
            opened.bind(str(path))
        finally:
            os.umask(before)
        opened.listen(BACKLOG)
    except OSError as exc:
        opened.close()
        raise UsageError(f"can't listen: {os_reason(exc)}", where=str(path), hint="choose another --uds") from exc
    return opened


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def missing_packages(packages: Sequence[str] = ("fastapi", "uvicorn", "prometheus_client", "multipart")) -> list[str]:
    """The packages of the extra that are not installed."""
    from importlib.util import find_spec

    return [name for name in packages if find_spec(name) is None]
