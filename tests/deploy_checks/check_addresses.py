"""Addresses of database and Redis as `deploy/` gives them to containers, at real servers."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from check_containers import compose, resources
from deploy_files import tool
from own_nginx import Certificates, free_port
from own_servers import OwnServer, own_postgresql

from cds_service.client_auth.seen_in_redis import RedisSeenTokens
from cds_service.store.database import Database
from cds_service.store.rest import StoreDown

PASSWORD = "made-up"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return a CA with the certificates of a server and of its client."""
    made = Certificates(tmp_path_factory.mktemp("tls") / "ca")
    made.sign("server", "/CN=localhost", host="localhost")
    made.sign("client", "/CN=cds")
    return made


@pytest.fixture(scope="module")
def postgresql(certificates: Certificates) -> Iterator[OwnServer]:
    """Return a PostgreSQL that asks for a certificate over TLS, and without it for a password."""
    with own_postgresql() as server, psycopg.connect(server.url, autocommit=True) as connection:

        def ask(question: str) -> str:
            row = connection.execute(question.encode()).fetchone()
            return str(row[0]) if row else ""

        connection.execute(f"ALTER ROLE cds PASSWORD '{PASSWORD}'".encode())
        connection.execute(b"CREATE DATABASE cds")
        rules = Path(ask("SHOW hba_file"))
        owner = rules.owner()
        for name in ("server.crt", "server.key", "ca.crt"):
            shutil.copy(certificates.folder / name, rules.parent)
            (rules.parent / name).chmod(0o600)
            shutil.chown(rules.parent / name, owner)
        rules.write_text(
            "hostssl all all 127.0.0.1/32 cert\nhostnossl all all 127.0.0.1/32 scram-sha-256\n"
        )
        for setting in ("ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'"):
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        connection.execute(b"ALTER SYSTEM SET ssl_ca_file = 'ca.crt'")
        connection.execute(b"ALTER SYSTEM SET ssl = on")
        connection.execute(b"SELECT pg_reload_conf()")
        yield server


def setting_of_compose(name: str) -> str:
    return str(compose()["services"]["replica-1"]["environment"][name])


def setting_of_kubernetes(name: str) -> str:
    [config] = [each for each in resources("ConfigMap") if each["metadata"]["name"] == "settings"]
    return str(config["data"][name])


def at(url: str, changes: dict[str, str]) -> str:
    """Return an address with these parts changed, each of which it must have."""
    for old, new in changes.items():
        assert old in url, (old, url)
        url = url.replace(old, new)
    return url


def comes_up(check: Callable[[], object]) -> bool:
    """Tell whether a server answers within some seconds."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            check()
        except StoreDown:
            time.sleep(1.2)  # it is left alone for a second
        else:
            return True
    return False


def test_password_of_compose_stands_in_a_file(postgresql: OwnServer, tmp_path: Path) -> None:
    port = postgresql.url.rpartition(":")[2].partition("/")[0]
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:cds:cds:{PASSWORD}\n")
    file.chmod(0o600)
    given = setting_of_compose("CDS_DATABASE_URL")
    # Between containers there is no TLS; PostgreSQL's client would try it first.
    here = at(
        given, {"@database": f"@{HOST}:{port}", "/run/secrets/pgpass": f"{file}&sslmode=disable"}
    )

    assert comes_up(Database(here, monotonic=time.monotonic).check)
    file.write_text("*:*:cds:cds:another\n")
    with pytest.raises(StoreDown):
        Database(here, monotonic=time.monotonic).check()


def test_certificate_of_kubernetes_is_enough_for_the_database(
    postgresql: OwnServer, certificates: Certificates
) -> None:
    port = postgresql.url.rpartition(":")[2].partition("/")[0]
    # As a pod gets it: root's, and readable for the pod's group.
    (certificates.folder / "client.key").chmod(0o440 if os.geteuid() == 0 else 0o400)
    here = at(
        setting_of_kubernetes("CDS_DATABASE_URL"),
        {
            "@db.example": f"@localhost:{port}",
            "/run/secrets/cds/postgresql": f"{certificates.folder}/client",
            "/run/secrets/cds/ca": f"{certificates.folder}/ca",
        },
    )
    without = re.sub(r"&sslcert=[^&]*&sslkey=[^&]*", "", here)

    assert comes_up(Database(here, monotonic=time.monotonic).check)
    with pytest.raises(StoreDown):
        Database(without, monotonic=time.monotonic).check()


@contextmanager
def redis_with(*options: str) -> Iterator[None]:
    program = tool("redis-server", comes_with="the Debian package redis-server")
    command = [program, "--port", "0", "--save", "", "--bind", HOST, *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=15)


def test_socket_of_compose_is_enough_for_redis(tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    started = compose()["services"]["redis"]["command"]
    here = at(setting_of_compose("CDS_REDIS_URL"), {"/run/redis/redis.sock": str(socket)})
    # What the Compose file starts, but for the place of the socket and of the data.
    options = list(started[1:])
    options[options.index("--unixsocket") + 1] = str(socket)
    with redis_with(*options, "--dir", str(tmp_path)):
        assert comes_up(RedisSeenTokens(here, monotonic=time.monotonic).check)


def test_certificate_of_kubernetes_is_enough_for_redis(certificates: Certificates) -> None:
    port = free_port()
    folder = certificates.folder
    here = at(
        setting_of_kubernetes("CDS_REDIS_URL"),
        {
            "redis.example:6379": f"localhost:{port}",
            "/run/secrets/cds/redis": f"{folder}/client",
            "/run/secrets/cds/ca": f"{folder}/ca",
        },
    )
    without = re.sub(r"&ssl_certfile=[^&]*&ssl_keyfile=[^&]*", "", here)
    tls = ["--tls-port", str(port), "--tls-auth-clients", "yes", "--appendonly", "no"]
    files = [
        *(
            "--tls-cert-file",
            str(folder / "server.crt"),
            "--tls-key-file",
            str(folder / "server.key"),
        ),
        *("--tls-ca-cert-file", str(folder / "ca.crt")),
    ]
    with redis_with(*tls, *files):
        assert comes_up(RedisSeenTokens(here, monotonic=time.monotonic).check)
        with pytest.raises(StoreDown):
            RedisSeenTokens(without, monotonic=time.monotonic).check()
