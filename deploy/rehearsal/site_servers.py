"""What a site has before the service comes: a CA, PostgreSQL, Redis, nginx; all for this rehearsal.

Runs inside the rehearsal's own namespaces, where the usual ports and folders are free to use.
"""

import os
import shutil
import subprocess
from pathlib import Path

from ehr import openssl

CA = Path("/etc/site-ca")
PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
DATA = Path("/srv/postgresql")
OUTPUT = Path("/run/output")


def make_ca() -> Path:
    """Make the CA of the site; return its certificate."""
    CA.mkdir()
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=Site CA", "-keyout", CA / "ca.key", "-out", CA / "ca.crt"),
    )
    return CA / "ca.crt"


def certificate(name: str, folder: Path, stem: str, *, group: str | int = 0) -> None:
    """Write a certificate for a host or a client, and its key for root and a group."""
    key, request, signed = (folder / f"{stem}.{end}" for end in ("key", "csr", "crt"))
    openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
        *("-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", request),
    )
    openssl(
        *("x509", "-req", "-days", "2", "-copy_extensions", "copy", "-in", request),
        *("-CA", CA / "ca.crt", "-CAkey", CA / "ca.key", "-CAcreateserial", "-out", signed),
    )
    request.unlink()
    key.chmod(0o640)
    shutil.chown(key, "root", group)


def name_hosts(*names: str) -> None:
    """Let the names of the pages mean this machine."""
    with Path("/etc/hosts").open("a", encoding="ascii") as hosts:
        hosts.write(f"127.0.0.1 {' '.join(names)}\n")


def make_postgresql() -> None:
    """Make a PostgreSQL that takes passwords, over TLS only."""
    DATA.mkdir()
    shutil.chown(DATA, "postgres")
    _run(PROGRAMS / "initdb", "-D", DATA / "main", "-A", "trust", "--no-sync", as_="postgres")
    certificate("db.example", DATA, "server", group="postgres")
    (DATA / "main/pg_hba.conf").write_text(
        "local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n", "ascii"
    )
    start_postgresql()


def start_postgresql() -> None:
    """Start it, and wait until it answers."""
    options = (
        f"-k /run -c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file={DATA}/server.crt "
        f"-c ssl_key_file={DATA}/server.key"
    )
    log = DATA / "log"
    _run(
        *(PROGRAMS / "pg_ctl", "-D", DATA / "main", "-w", "-l", log, "-o", options, "start"),
        as_="postgres",
    )


def stop_postgresql() -> None:
    """Stop it as a crash does."""
    _run(PROGRAMS / "pg_ctl", "-D", DATA / "main", "-m", "immediate", "stop", as_="postgres")


def start_redis() -> None:
    """Start a Redis as the pages ask for: TLS with client certificates, no eviction, a log."""
    folder = Path("/srv/redis")
    folder.mkdir()
    certificate("redis.example", folder, "server")
    options = {
        "port": "0",
        "tls-port": "6379",
        "bind": "127.0.0.1",
        "tls-cert-file": f"{folder}/server.crt",
        "tls-key-file": f"{folder}/server.key",
        "tls-ca-cert-file": str(CA / "ca.crt"),
        "tls-auth-clients": "yes",
        "maxmemory": "64mb",
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "save": "",
        "dir": str(folder),
        "daemonize": "yes",
        "logfile": f"{folder}/log",
    }
    _run("redis-server", *(word for k, v in options.items() for word in (f"--{k}", v)))


def start_nginx() -> None:
    """Start nginx with an empty conf.d, as a package would."""
    folder = Path("/etc/nginx")
    shutil.rmtree(folder / "conf.d", ignore_errors=True)
    (folder / "conf.d").mkdir()
    (folder / "nginx.conf").write_text(
        "user www-data;\nworker_processes 2;\npid /run/nginx.pid;\n"
        "events { worker_connections 768; }\n"
        "http { include /etc/nginx/conf.d/*.conf; }\n",
        "ascii",
    )
    _run("nginx")


def _run(*command: str | Path, as_: str | None = None) -> None:
    # A file for its output: a daemon that is left behind would hold a pipe open.
    done = subprocess.run(
        [*map(str, command)],
        user=as_,
        group=as_,
        extra_groups=[] if as_ else None,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=OUTPUT.open("wb"),
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {OUTPUT.read_text('utf-8', errors='replace')}")
