"""The nginx of `deploy/` in front of two real replicas: what it lets through, and what it costs."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from client_tokens import bearer, client_entry, site_text, token
from http_service import hook_request
from own_nginx import NAME, Certificates, OwnNginx, Reply, own_nginx
from served import Served, served

PREFIX = "/cds/lumbar"
SELECT = f"{PREFIX}/cds-services/lumbar-mri-order-select"
AUDIENCE = f"https://{NAME}{SELECT}"
EHR = "/O=Hospital/CN=ehr.example"
EHR_SUBJECT = "CN=ehr.example,O=Hospital"
LIMIT = 10 * 1024 * 1024
CLOSED = (
    "/metrics",
    "/health/ready",
    "/health/live",
    "/",
    "/openapi.json",
    "/knowledge/lumbar-mri/what-if",
)


@contextmanager
def two_replicas(folder: Path) -> Iterator[tuple[Served, Served]]:
    """Run two replicas with one store, for a client with keys and one with a certificate."""
    site = folder / "site.yaml"
    certified = {"issuer": "https://certified.example", "mtlsSubject": EHR_SUBJECT}
    proxy = {"subjectHeader": "X-Client-Subject", "addresses": ["127.0.0.1"]}
    site.write_text(site_text(client_entry(rateLimit="off"), certified, proxy=proxy), "utf-8")
    settings = {
        "CDS_PUBLIC_URL": f"https://{NAME}{PREFIX}",
        "CDS_SITE_FILE": str(site),
        "XDG_STATE_HOME": str(folder),
    }
    with served(settings) as one, served(settings) as other:
        yield one, other


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("tls") / "ca")
    made.sign("server", f"/CN={NAME}", host=NAME)
    return made


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    with two_replicas(tmp_path_factory.mktemp("replicas")) as both:
        yield both


@pytest.fixture(scope="module")
def front(
    replicas: tuple[Served, Served],
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OwnNginx]:
    """Return the nginx for clients with tokens."""
    folder = tmp_path_factory.mktemp("nginx") / "front"
    with own_nginx(folder, [r.port for r in replicas], certificates=certificates) as server:
        yield server


@pytest.fixture(scope="module")
def certifying(
    replicas: tuple[Served, Served],
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OwnNginx]:
    """Return the nginx that asks for client certificates."""
    folder = tmp_path_factory.mktemp("nginx") / "certifying"
    with own_nginx(
        folder,
        [r.port for r in replicas],
        certificates=certificates,
        asks_for_certificates=True,
    ) as server:
        yield server


def fresh() -> tuple[str, str]:
    """Return the header of a good token for the address that nginx serves."""
    now = int(time.time())
    [(name, value)] = bearer(token(aud=AUDIENCE, iat=now, exp=now + 300)).items()
    return name, value


def call(front: OwnNginx) -> Reply:
    return front.send("POST", SELECT, hook_request(), headers=[fresh()])


def test_a_signed_call_to_the_prefix_gets_its_decision(front: OwnNginx) -> None:
    found = front.send("GET", f"{PREFIX}/cds-services")
    answer = call(front)

    assert 2 == len(found.json()["services"])  # type: ignore[arg-type]
    assert 200 == answer.status
    assert answer.json()["extension"]
    assert "max-age=31536000" == answer.headers["Strict-Transport-Security"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(front: OwnNginx, version: ssl.TLSVersion) -> None:
    context = front.certificates.context()
    context.minimum_version = context.maximum_version = version
    with front.connect(context=context) as connection:
        spoken = connection.version()

    assert version.name == (spoken or "").replace(".", "_")


def test_tls_1_1_is_refused_by_the_server(front: OwnNginx) -> None:
    # Level 0: at the usual one, the client would not even offer it.
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{front.port}", "-servername", NAME]
    old = [*command, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    done = subprocess.run(
        old, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20
    )

    assert 0 != done.returncode
    assert "alert protocol version" in done.stderr


def test_another_name_gets_no_handshake(front: OwnNginx) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        front.connect(name="other.example")


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "way",
    [
        "{path}",
        f"{PREFIX}{{path}}",
        f"{PREFIX}/cds-services/..{{path}}",
        f"{PREFIX}/cds-services/%2e%2e{{path}}",
        f"{PREFIX}/cds-services%2f..{{path}}",
        f"{PREFIX}//{{path}}",
    ],
)
def test_nothing_but_hooks_and_rules_is_reachable(front: OwnNginx, path: str, way: str) -> None:
    answer = front.send("GET", way.format(path=path))

    assert answer.status in {400, 404}
    assert b"nginx" in answer.body  # the service itself was not asked


def test_the_rules_that_cards_link_to_are_there_with_all_that_they_need(front: OwnNginx) -> None:
    source = f"{PREFIX}/knowledge/lumbar-mri"
    for path in (source, f"{source}/value-sets"):
        page = front.send("GET", path)
        assert 200 == page.status
        [script] = re.findall(r'<script src="([^"]+)"', page.body.decode())
        assert b"search" in front.send("GET", urljoin(path, script)).body

    pages = front.send("GET", source).body.decode()
    [value_sets] = set(re.findall(r'<a href="([^"#]+/value-sets)">', pages))
    assert f"{source}/value-sets" == urljoin(source, value_sets)
    assert 404 == front.send("GET", f"{source}/what-if").status
    assert 403 == front.send("POST", source, b"{}").status


def test_paths_behind_the_prefix_that_are_no_hooks_stay_in_the_service(front: OwnNginx) -> None:
    for path in ("/cds-services/metrics", "/cds-services/..;/metrics", "/cds-services;/../metrics"):
        answer = front.send("GET", PREFIX + path)

        assert answer.status in {404, 405}
        assert b"cds_calls" not in answer.body


def test_people_and_prometheus_come_in_on_another_port(front: OwnNginx) -> None:
    for _ in range(4):
        call(front)  # so that both replicas have a number to show

    page = front.send("GET", "/", port=front.inside)
    numbers = [front.send("GET", f"/metrics/{n}", port=front.inside) for n in (8001, 8002)]
    forbidden = front.send("POST", "/cds-services/x", b"{}", headers=[fresh()], port=front.inside)

    assert b"CDS Hooks" in page.body
    assert all(b"cds_calls_total" in each.body for each in numbers)
    assert 403 == forbidden.status


def test_a_body_over_the_limit_is_413_and_none_touches_the_disk(front: OwnNginx) -> None:
    largest = b'"' + b"x" * (LIMIT - 2) + b'"'
    too_large = front.send("POST", SELECT, largest + b" ", headers=[fresh()])
    refused = front.send("POST", SELECT, largest, headers=[fresh()])

    assert 413 == too_large.status
    assert 400 == refused.status
    assert "OperationOutcome" == refused.json()["resourceType"]
    assert "temporary file" not in front.log()
    assert [] == [file for file in (front.folder / "tmp/body").rglob("*") if file.is_file()]


def test_headers_over_the_limit_are_refused(front: OwnNginx) -> None:
    answer = front.send("GET", f"{PREFIX}/cds-services", headers=[("X-Long", "x" * 9000)])

    assert 400 == answer.status
    assert b"Too Large" in answer.body


def test_slow_clients_reach_no_replica_and_are_let_go(
    front: OwnNginx, replicas: tuple[Served, Served]
) -> None:
    """More of them than the replicas have threads: one for each would hold up all others."""
    head = f"POST {SELECT} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n"
    name, value = fresh()
    slow = [front.connect(timeout=30) for _ in range(40)]
    for number, connection in enumerate(slow):
        # Half of them stop within the headers, half within the body.
        rest = "" if number % 2 else f"{name}: {value}\r\nContent-Length: 1000\r\n\r\n{{"
        connection.sendall((head + rest).encode())
    seen = [len(replica.messages()) for replica in replicas]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: call(front), range(20)))
    endings = [connection.recv(1024) for connection in slow]
    for connection in slow:
        connection.close()

    judged = [
        line["status"]
        for replica, lines in zip(replicas, seen, strict=True)
        for line in replica.messages()[lines:]
        if line["message"] == "hook call"
    ]

    assert {200} == {a.status for a in answers}
    assert [200] * 20 == judged
    assert all(not ending or b" 408 " in ending for ending in endings)


def test_a_verified_certificate_lets_its_subject_in(
    certifying: OwnNginx, certificates: Certificates
) -> None:
    context = certificates.context(certificates.sign("ehr", EHR))
    answer = certifying.send("POST", SELECT, hook_request(), context=context)

    assert 200 == answer.status


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", ["X-Client-Subject", "x-client-subject", "X_Client_Subject"])
def test_a_subject_that_a_caller_sends_counts_for_nothing(
    front: OwnNginx,
    certifying: OwnNginx,
    certificates: Certificates,
    replicas: tuple[Served, Served],
    name: str,
    times: int,
) -> None:
    forged = [(name, EHR_SUBJECT)] * times
    other = certificates.context(certificates.sign("other", "/O=Hospital/CN=other.example"))
    without = front.send("POST", SELECT, hook_request(), headers=forged)
    with_another = certifying.send("POST", SELECT, hook_request(), headers=forged, context=other)
    # The same header is believed where it comes from the proxy's address: straight to a replica.
    believed = requests.post(
        replicas[0].url + SELECT.removeprefix(PREFIX),
        json=hook_request(),
        headers={"X-Client-Subject": EHR_SUBJECT},
        timeout=10,
    )

    assert [401, 401, 200] == [without.status, with_another.status, believed.status_code]


def test_without_a_certificate_or_with_one_of_another_ca_nobody_comes_in(
    certifying: OwnNginx, certificates: Certificates, tmp_path: Path
) -> None:
    stranger = Certificates(tmp_path / "stranger").sign("ehr", EHR)
    forged = certificates.context(stranger)
    answers = [
        certifying.send("POST", SELECT, hook_request(), context=context)
        for context in (None, forged)
    ]

    assert [400, 400] == [a.status for a in answers]
    assert all(b"certificate" in a.body for a in answers)


def test_the_log_names_replica_and_time_and_nothing_of_the_caller(front: OwnNginx) -> None:
    name, value = fresh()
    path = f"{PREFIX}/cds-services?patient=Zephyrine"
    front.send("GET", path, headers=[(name, value), ("Referer", "Zephyrine")])
    lines = [json.loads(line) for line in front.log("access.log").splitlines() if line[0] == "{"]

    assert {"time", "status", "seconds", "replica", "tls"} <= set(lines[-1])
    assert "Zephyrine" not in front.log("access.log")
    assert value[7:40] not in front.log("access.log")


class Closing:
    """A replica that takes a whole request and then closes the connection without an answer."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                received = b""
                while not received.endswith(b"}"):
                    received += connection.recv(65536)
                self.requests.append(received)


def test_a_call_that_was_sent_is_never_sent_again(
    certificates: Certificates, tmp_path: Path
) -> None:
    """The token would be refused as a replay, and what felled one replica must not fell two."""
    both = [Closing(), Closing()]
    ports = [replica.port for replica in both]
    with own_nginx(tmp_path / "nginx", ports, certificates=certificates) as front:
        answer = front.send("POST", SELECT, hook_request(), headers=[fresh()])
    for replica in both:
        replica.close()

    assert 502 == answer.status
    assert 1 == sum(len(replica.requests) for replica in both)


def test_a_replica_that_is_killed_costs_at_most_the_calls_under_way(
    certificates: Certificates, tmp_path: Path
) -> None:
    threads = 4
    answers: list[Reply] = []
    stop = threading.Event()
    with (
        two_replicas(tmp_path) as replicas,
        own_nginx(
            tmp_path / "nginx", [r.port for r in replicas], certificates=certificates
        ) as front,
    ):

        def keep_calling() -> None:
            while not stop.is_set():
                answers.append(call(front))

        workers = [threading.Thread(target=keep_calling) for _ in range(threads)]
        for worker in workers:
            worker.start()
        wait_until(lambda: len(answers) >= 20)
        kill(replicas[0])
        before = len(answers)
        wait_until(lambda: len(answers) >= before + 60)
        stop.set()
        for worker in workers:
            worker.join()

    statuses = [a.status for a in answers]
    failed = [status for status in statuses if status != 200]
    figures = f"{len(statuses)} calls on {threads} threads, {len(failed)} failed"

    assert set(failed) <= {502}, figures
    assert threads >= len(failed), figures
    assert [200] * 40 == statuses[-40:]


def kill(replica: Served) -> None:
    """Kill all its processes at once, as a machine that dies does."""
    first = replica.process.pid
    children = Path(f"/proc/{first}/task/{first}/children").read_text("ascii").split()
    for pid in (first, *map(int, children)):
        os.kill(pid, signal.SIGKILL)


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
