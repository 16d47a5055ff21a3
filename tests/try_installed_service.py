"""Calls the installed service once, as an EHR would: run by `.ci/run` with the wheel's Python.

Not a pytest file: it must run where neither the source nor the development packages are.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

DEADLINE_SECONDS = 30
ORDER = {
    "resourceType": "ServiceRequest",
    "id": "draft-1",
    "status": "draft",
    "intent": "order",
    "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72148"}]},
    "subject": {"reference": "Patient/example"},
}
PATIENT = {"resourceType": "Patient", "id": "example", "birthDate": "1980-05-01"}


def main() -> None:
    """Start the service, ask it about one order, stop it; exit non-zero if anything differs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).parent / "cds-service")
    command = [program, "serve", "--bind", f"127.0.0.1:{port}"]
    service = subprocess.Popen(command, env={**os.environ, "CDS_CLIENT_AUTH": "off"})
    try:
        base = f"http://127.0.0.1:{port}"
        ready = wait_until_ready(service, base)
        print("ready:", json.dumps(ready))
        decision = ask(base)
        print("decision:", json.dumps(decision))
    finally:
        service.terminate()
        status = service.wait(DEADLINE_SECONDS)
    expect(0, status, "exit status after SIGTERM")


def wait_until_ready(service: subprocess.Popen[bytes], base: str) -> object:
    """Return the body of /health/ready once it answers 200."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        if service.poll() is not None:
            sys.exit(f"cds-service serve ended by itself with status {service.returncode}")
        try:
            answer = requests.get(f"{base}/health/ready", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.2)
            continue
        expect(200, answer.status_code, "status of /health/ready")
        return answer.json()
    sys.exit(f"not ready after {DEADLINE_SECONDS} seconds")


def ask(base: str) -> object:
    """Return the decision on one lumbar MRI order, with the prefetch that discovery asks for."""
    services = requests.get(f"{base}/cds-services", timeout=5).json()["services"]
    expect(
        ["lumbar-mri-order-select", "lumbar-mri-order-sign"],
        sorted(each["id"] for each in services),
        "services in discovery",
    )
    sign = next(each for each in services if each["hook"] == "order-sign")
    body = {
        "hook": "order-sign",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {
            "userId": "Practitioner/example",
            "patientId": "example",
            "draftOrders": {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [{"resource": ORDER}],
            },
        },
        "prefetch": {key: prefetched(template) for key, template in sign["prefetch"].items()},
    }
    answer = requests.post(f"{base}/cds-services/{sign['id']}", json=body, timeout=5)
    expect(200, answer.status_code, "status of the hook call")
    [decision] = answer.json()["extension"]["org.lumbar-mri-cds.decisions"]
    expect("ServiceRequest/draft-1", decision["order"], "order in the decision")
    expect("without", decision["protocol"], "protocol in the decision")
    return decision


def prefetched(template: str) -> object:
    """Return what an EHR with an almost empty chart gives for a prefetch template."""
    if template.startswith("Patient/"):
        return PATIENT
    return {"resourceType": "Bundle", "type": "searchset", "total": 0}


def expect(expected: object, actual: object, what: str) -> None:
    """Stop with a sentence if `actual` is not what was expected."""
    if expected != actual:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")


if __name__ == "__main__":
    main()
