"""The nginx of `deploy/` as a process of the test's own, with a CA of its own, on free ports."""

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parent.parent / "deploy"
NAME = "cds.example"
SECONDS_TO_START = 10


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> dict[str, object]:
        """Return the body as an object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


class Certificates:
    """A CA with what it has signed, in one folder."""

    def __init__(self, folder: Path) -> None:
        """Make the CA."""
        folder.mkdir(parents=True)
        self.folder = folder
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Own CA"),
            *("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt")),
        )

    @property
    def ca(self) -> Path:
        """The certificate of the CA."""
        return self.folder / "ca.crt"

    def sign(self, stem: str, subject: str, *, host: str = "") -> tuple[Path, Path]:
        """Return certificate and key for a subject such as `/O=Hospital/CN=ehr.example`."""
        key, request, signed = (self.folder / f"{stem}.{end}" for end in ("key", "csr", "crt"))
        names = ("-addext", f"subjectAltName=DNS:{host}") if host else ()
        _openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, *names),
            *("-keyout", str(key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-days", "2", "-copy_extensions", "copy", "-in", str(request)),
            *("-CA", str(self.ca), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial"),
            *("-out", str(signed)),
        )
        return signed, key

    def context(self, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return what a client needs that trusts this CA, with its certificate if it has one."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if pair is not None:
            context.load_cert_chain(*map(str, pair))
        return context


class OwnNginx:
    """One running nginx."""

    def __init__(self, folder: Path, certificates: Certificates, port: int, inside: int) -> None:
        """Describe it; `own_nginx` starts it."""
        self.folder = folder
        self.certificates = certificates
        self.port = port
        self.inside = inside

    def connect(
        self,
        *,
        name: str = NAME,
        context: ssl.SSLContext | None = None,
        port: int = 0,
        timeout: float = 15,
    ) -> ssl.SSLSocket:
        """Return a connection after its TLS handshake."""
        raw = socket.create_connection(("127.0.0.1", port or self.port), timeout=timeout)
        chosen = context or self.certificates.context()
        return chosen.wrap_socket(raw, server_hostname=name)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Sequence[tuple[str, str]] = (),
        context: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> Reply:
        """Send one request over a connection of its own, exactly as it is given."""
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        with self.connect(context=context, port=port) as connection:
            sender = HTTPSConnection(NAME)
            sender.sock = connection
            sender.putrequest(method, path, skip_accept_encoding=True)
            for key, value in (("Connection", "close"), *headers):
                sender.putheader(key, value)
            if body is not None:
                sender.putheader("Content-Type", "application/json")
                sender.putheader("Content-Length", str(len(raw)))
            # It may answer before all of a large body was sent.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                sender.endheaders(raw if body is not None else None)
            response = HTTPResponse(connection, method=method)
            response.begin()
            return Reply(response.status, dict(response.headers), response.read())

    def log(self, name: str = "error.log") -> str:
        """Return what it has logged."""
        return (self.folder / "log" / name).read_text("utf-8")


@contextmanager
def own_nginx(
    folder: Path,
    replicas: Sequence[int],
    *,
    certificates: Certificates,
    asks_for_certificates: bool = False,
    changes: Mapping[str, str] | None = None,
) -> Iterator[OwnNginx]:
    """Run nginx with the files of `deploy/nginx`, on other ports and in another folder."""
    nginx = _program()
    server = OwnNginx(folder, certificates, free_port(), free_port())
    replaced = {
        "/etc/lumbar-mri-cds/tls": str(certificates.folder),
        "/etc/nginx": str(folder),
        "/var/log/nginx": str(folder / "log"),
        "/dev/stderr": str(folder / "log/error.log"),
        "/tmp/": f"{folder}/tmp/",  # noqa: S108  # what the container's file says
        "listen 443": f"listen 127.0.0.1:{server.port}",
        "listen 8443": f"listen 127.0.0.1:{server.inside}",
        "127.0.0.1:8001": f"127.0.0.1:{replicas[0]}",
        "127.0.0.1:8002": f"127.0.0.1:{replicas[1]}",
        **(changes or {}),
    }
    if asks_for_certificates:
        asking = "include /etc/nginx/lumbar-mri-cds-client-certificates.inc"
        replaced[f"# {asking}"] = asking.replace("/etc/nginx", str(folder))
    for name in ("conf.d", "log", "tmp"):
        (folder / name).mkdir(parents=True)
    # The longest first: one may be part of another.
    pattern = re.compile("|".join(map(re.escape, sorted(replaced, key=len, reverse=True))))
    used: set[str] = set()
    for file in sorted([*(DEPLOY / "nginx").iterdir(), DEPLOY / "container/nginx.conf"]):
        text = file.read_text("utf-8")
        used |= set(pattern.findall(text))
        text = pattern.sub(lambda match: replaced[match[0]], text)
        is_site = file.suffix == ".conf" and file.name != "nginx.conf"
        (folder / "conf.d" / file.name if is_site else folder / file.name).write_text(text, "utf-8")
    assert set(replaced) == used
    shutil.copy(certificates.ca, certificates.folder / "clients-ca.crt")
    command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.PIPE)
    try:
        _wait_until_it_listens(process, server.port)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=15)
        assert process.stderr is not None
        process.stderr.close()


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    give_up = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.fail(f"nginx ended: {process.stderr.read().decode()}")
            assert time.monotonic() < give_up, "nginx does not listen"
            time.sleep(0.05)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _program() -> str:
    found = shutil.which("nginx", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        pytest.skip("needs nginx; on Debian: apt-get install nginx")
    return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
