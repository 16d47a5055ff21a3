"""A test EHR: signs client tokens, calls hooks over TLS, sends feedback, makes load.

Standard library and openssl only, so that it runs wherever the service is about to be installed.
"""

import base64
import http.client
import json
import secrets
import socket
import ssl
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Self

SERVICE = "lumbar-mri-order-sign"
CANARY = "Zephyrine-Quillfeather"
"""The patient's family name: it must turn up in no log and no table."""

_ICD = "http://hl7.org/fhir/sid/icd-10-cm"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 where nothing did."""

    status: int
    body: dict[str, object] = field(default_factory=dict)
    seconds: float = 0.0
    fault: str = ""

    @property
    def cards(self) -> list[dict[str, object]]:
        """The cards."""
        return self.body.get("cards", [])  # type: ignore[return-value]

    @property
    def decision(self) -> dict[str, object]:
        """The decision on the only order."""
        [decision] = self.body["extension"]["org.lumbar-mri-cds.decisions"]  # type: ignore[index]
        return decision  # type: ignore[no-any-return]


class Key:
    """A private RSA key in a file, made by openssl."""

    def __init__(self, file: Path, kid: str) -> None:
        """Make the key."""
        self.kid = kid
        self._file = str(file)
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file)

    @property
    def jwk(self) -> dict[str, str]:
        """The public half, for the site file."""
        shown = openssl("rsa", "-in", self._file, "-noout", "-modulus").decode("ascii")
        modulus = bytes.fromhex(shown.strip().partition("=")[2])
        return {
            "kty": "RSA",
            "kid": self.kid,
            "use": "sig",
            "alg": "RS384",
            "n": encoded(modulus),
            "e": encoded((65537).to_bytes(3, "big")),
        }

    def sign(self, text: bytes) -> bytes:
        """Return an RS384 signature."""
        return openssl("dgst", "-sha384", "-sign", self._file, "-binary", read=text)


class Ehr:
    """One registered client, calling one service at one address."""

    def __init__(self, *, issuer: str, key: Key, public_url: str, ca: Path) -> None:
        """`public_url` is CDS_PUBLIC_URL: the address that is called and that tokens name."""
        self.issuer = issuer
        self.key = key
        _, _, rest = public_url.partition("://")
        self._public_url = public_url
        self._ca = ca
        self._host, _, path = rest.partition("/")
        self._path = f"/{path}"
        self._tls = ssl.create_default_context(cafile=str(ca))

    def with_key(self, key: Key) -> "Ehr":
        """Return the same EHR, signing with another key."""
        return Ehr(issuer=self.issuer, key=key, public_url=self._public_url, ca=self._ca)

    def token(self) -> str:
        """Return a new token, good for one call."""
        now = int(time.time())
        header = {"alg": "RS384", "typ": "JWT", "kid": self.key.kid}
        claims = {
            "iss": self.issuer,
            "aud": f"{self._public_url}/cds-services/{SERVICE}",
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(16),
        }
        text = f"{encoded(json.dumps(header))}.{encoded(json.dumps(claims))}".encode("ascii")
        return f"{text.decode()}.{encoded(self.key.sign(text))}"

    def call(self, days: int, *, token: str | None = None) -> Answer:
        """Order an MRI for back pain that began so many days ago."""
        path = f"{self._path}/cds-services/{SERVICE}"
        return self.send("POST", path, hook_request(days), token=token or self.token())

    def accept(self, card: dict[str, object]) -> Answer:
        """Say that a card was accepted."""
        entry = {
            "card": card["uuid"],
            "outcome": "accepted",
            "outcomeTimestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if suggestions := card.get("suggestions"):
            entry["acceptedSuggestions"] = [{"id": suggestions[0]["uuid"]}]  # type: ignore[index]
        path = f"{self._path}/cds-services/{SERVICE}/feedback"
        return self.send("POST", path, {"feedback": [entry]}, token=self.token())

    def send(
        self, method: str, path: str, body: object = None, *, token: str = "", port: int = 443
    ) -> Answer:
        """Send one request over a connection of its own; what fails is an Answer too."""
        began = time.monotonic()
        connection = http.client.HTTPSConnection(self._host, port, timeout=10, context=self._tls)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, seconds=time.monotonic() - began, fault=type(error).__name__)
        finally:
            connection.close()
        is_json = "json" in (response.headers["Content-Type"] or "")
        return Answer(response.status, json.loads(raw) if is_json else {}, time.monotonic() - began)


class Load:
    """Calls one after the other on several threads, until the block ends."""

    def __init__(self, ehr: Ehr, *, threads: int = 4) -> None:
        """Each thread has at most one call under way."""
        self.threads = threads
        self.answers: list[Answer] = []
        self._ehr = ehr
        self._stop = threading.Event()
        self._workers = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        """Start, and wait until calls are answered."""
        for worker in self._workers:
            worker.start()
        while len(self.answers) < self.threads:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        """Let the calls under way end."""
        self._stop.set()
        for worker in self._workers:
            worker.join()

    @property
    def failed(self) -> list[Answer]:
        """All that was not a decision."""
        return [a for a in self.answers if a.status != HTTPStatus.OK]

    def says(self) -> str:
        """Return the figures in a sentence."""
        worst = max(a.seconds for a in self.answers)
        kinds = sorted({str(a.status or a.fault) for a in self.failed})
        what = f" ({', '.join(kinds)})" if kinds else ""
        return (
            f"{len(self.answers)} calls on {self.threads} threads, "
            f"{len(self.failed)} failed{what}, slowest {worst * 1000:.0f} ms"
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            self.answers.append(self._ehr.call(10))


def hook_request(days: int) -> dict[str, object]:
    """Return an order-sign request for a patient with back pain for so many days."""
    subject = {"reference": "Patient/rehearsal"}
    onset = datetime.now(UTC).date() - timedelta(days=days)
    back_pain = {
        "resourceType": "Condition",
        "id": "back-pain",
        "subject": subject,
        "onsetDateTime": onset.isoformat(),
        "clinicalStatus": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                    "code": "active",
                }
            ]
        },
        "code": {"coding": [{"system": _ICD, "code": "M54.50"}]},
    }
    order = {
        "resourceType": "ServiceRequest",
        "id": "draft-1",
        "status": "draft",
        "intent": "order",
        "subject": subject,
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72148"}]},
        "reasonCode": [{"coding": [{"system": _ICD, "code": "M54.50"}]}],
    }
    patient = {
        "resourceType": "Patient",
        "id": "rehearsal",
        "birthDate": "1986-07-02",
        "name": [{"family": CANARY}],
    }
    others = (
        *("observations", "imagingStudies", "diagnosticReports", "procedures"),
        *("serviceRequests", "medicationRequests", "allergies", "devices"),
    )
    return {
        "hook": "order-sign",
        "hookInstance": str(uuid.uuid4()),
        "context": {
            "userId": "Practitioner/rehearsal",
            "patientId": "rehearsal",
            "draftOrders": bundle("collection", order),
        },
        "prefetch": {
            "patient": patient,
            "conditions": bundle("searchset", back_pain),
            **{key: bundle("searchset") for key in others},
        },
    }


def bundle(kind: str, *resources: object) -> dict[str, object]:
    """Return a Bundle."""
    empty: dict[str, object] = {"resourceType": "Bundle", "type": kind}
    if not resources:
        return {**empty, "total": 0}
    return {**empty, "entry": [{"resource": each} for each in resources]}


def encoded(part: bytes | str) -> str:
    """Return base64url without padding."""
    raw = part.encode() if isinstance(part, str) else part
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def openssl(*arguments: str | Path, read: bytes | None = None) -> bytes:
    """Run openssl and return its output."""
    done = subprocess.run(["openssl", *arguments], input=read, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def shakes_hands(host: str, name: str, ca: Path) -> str:
    """Return the TLS version that is agreed on with `host` under `name`, or why none is."""
    context = ssl.create_default_context(cafile=str(ca))
    try:
        with (
            socket.create_connection((host, 443), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname=name) as connection,
        ):
            return connection.version() or ""
    except (ssl.SSLError, OSError) as error:
        return getattr(error, "reason", None) or type(error).__name__
