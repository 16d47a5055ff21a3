"""The rehearsal: every step of the pages, with what must come of it. Started by `rehearse`.

The commands are the blocks of the pages in the bundle; what stands here is what an operator edits,
what an EHR does meanwhile, and what is looked at afterwards.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import site_servers
from ehr import CANARY, SERVICE, Ehr, Key, Load, shakes_hands
from pages import Block, blocks
from seen import (
    Differs,
    call,
    expect,
    hold,
    readiness,
    wait_for_answer,
    wait_until,
    wait_until_all_say,
    wait_until_ready,
)

PUBLIC_URL = "https://cds.example/cds/lumbar"
SETTINGS = Path("/etc/lumbar-mri-cds")
CURRENT = Path("/opt/lumbar-mri-cds/current")
REPLICAS = (8001, 8002)
ISSUER = "https://ehr.example/rehearsal"
DAYS_OF_PAIN = 50
"""More than six weeks, less than eight."""


class Rehearsal:
    """State of one run: the commands left to run, the test EHR, the time of each step."""

    def __init__(self, bundles: Path, version: str, next_version: str) -> None:
        """Take the folder with both bundles."""
        self.version = version
        self.next_version = next_version
        self.commands: dict[str, Block] = {}
        self.ran: set[str] = set()
        self.times: list[tuple[str, float]] = []
        self._bundles = bundles
        self._environ = dict(os.environ) | {"PGHOST": "/run", "PGUSER": "postgres"}

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time one step and print its outcome, which the block names."""
        outcome: list[str] = []
        began = time.monotonic()
        try:
            yield outcome.append
        except Exception as error:
            self._print("FAILED", began, name, type(error).__name__)
            raise
        self._print("ok", began, name, "; ".join(outcome))
        self.times.append((name, time.monotonic() - began))

    def run(self, name: str, *, version: str = "", replace: tuple[str, str] = ("", "")) -> str:
        """Run one block of the pages and return what it prints. Raises Differs if it fails.

        `version` stands for the version in hand; `replace` is what the page tells to change.
        """
        block = self.commands[name]
        code = block.code.replace(*replace) if replace[0] else block.code
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=self._bundles,
            env=self._environ | {"version": version or self.version},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.ran.add(name)
        if done.returncode != block.status:
            said = "\n".join(f"{done.stdout}{done.stderr}".splitlines()[-10:])
            raise Differs(f"{block.page}, block {name}: exit code {done.returncode}\n{said}")
        return done.stdout

    def _print(self, word: str, began: float, name: str, outcome: str) -> None:
        seconds = time.monotonic() - began
        print(f"{word:>6} {seconds:6.1f} s  {name}{': ' if outcome else ''}{outcome}", flush=True)


def main() -> None:
    """Run all steps; exit code 1 at the first that does not end as it should."""
    began = time.monotonic()
    rehearsal = Rehearsal(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    try:
        ehr = install(rehearsal)
        look_from_outside(rehearsal, ehr)
        go_live(rehearsal, ehr)
        rotate_keys(rehearsal, ehr)
        change_rules(rehearsal, ehr)
        upgrade(rehearsal, ehr)
        break_things(rehearsal, ehr)
        switch_off(rehearsal, ehr)
        look_for_leaks(rehearsal, ehr)
        left = sorted(set(rehearsal.commands) - rehearsal.ran)
        expect([], left, "blocks of the pages that were not run")
    except Exception as error:  # noqa: BLE001  # whatever it is, the logs go with it
        show_logs()
        sys.exit(f"The rehearsal ends here: {type(error).__name__}: {error}")
    print(
        f"\nAll is as it should be: {len(rehearsal.times)} steps, {time.monotonic() - began:.0f} s."
    )


def install(rehearsal: Rehearsal) -> Ehr:
    """From nothing to two replicas behind nginx; return the EHR that may call them."""
    with rehearsal.step("The site: a CA, PostgreSQL and Redis with TLS, nginx") as says:
        ca = site_servers.make_ca()
        site_servers.name_hosts("cds.example", "db.example", "redis.example")
        trust(ca)
        site_servers.make_postgresql()
        site_servers.start_redis()
        site_servers.start_nginx()
        shutil.copy("/run/rehearsal/systemctl.py", "/usr/local/sbin/systemctl")
        says("no network but loopback, so nothing can be downloaded")
    with rehearsal.step("Unpack, check the checksums, install offline") as says:
        subprocess.run(
            ["tar", "-xzf", f"lumbar-mri-cds-{rehearsal.version}.tar.gz", "-C", "/run"],
            cwd=sys.argv[1],
            check=True,
        )  # only to read the pages; the blocks unpack it again
        pages = Path("/run") / f"lumbar-mri-cds-{rehearsal.version}" / "deploy"
        rehearsal.commands = {b.name: b for b in blocks(pages) if b.name}
        rehearsal.run("user")
        rehearsal.run("install")
        rehearsal.run("choose-version")
        says(version_of(CURRENT / "bin/cds-service"))
    with rehearsal.step("Settings, certificates, site file, database"):
        rehearsal.run("configure")
        rehearsal.run("addresses")
        tls = SETTINGS / "tls"
        shutil.copy(ca, tls / "ca.crt")
        site_servers.certificate("cds.example", tls, "server")
        site_servers.certificate("lumbar-mri-cds", tls, "redis-client", group="lumbar-mri-cds")
        rehearsal.run("database")
        key = Key(Path("/run/ehr-1.key"), "first")
        register(key)
    with rehearsal.step("Without signed rules the service does not start") as says:
        rehearsal.run("export-knowledge")
        Path("/etc/lumbar-mri-cds/knowledge/current").symlink_to("first")
        refused = subprocess.run(
            ["lumbar-mri-cds", "serve"], capture_output=True, text=True, check=False, timeout=60
        )
        expect(2, refused.returncode, "exit code of serve with a draft")
        says(refused.stderr.strip().splitlines()[-1][:90])
    with rehearsal.step("Sign the rules, start two replicas") as says:
        rehearsal.run("sign-knowledge")
        rehearsal.run("start")
        for port in REPLICAS:
            ready = readiness(port)
            expect("approved", ready["knowledge"]["approval"], "approval")
            expect({"kind": "postgresql", "state": "up"}, ready["database"], "database")
            expect("redis", ready["seenTokens"], "store of seen tokens")
        says(f"knowledge {ready['knowledge']['version']}, approved")
    with rehearsal.step("nginx with TLS and the path prefix") as says:
        found = json.loads(rehearsal.run("proxy").partition("\n")[0] or "{}")
        says(", ".join(service["id"] for service in found["services"]))
    return Ehr(issuer=ISSUER, key=key, public_url=PUBLIC_URL, ca=ca)


def look_from_outside(rehearsal: Rehearsal, ehr: Ehr) -> None:
    """What the EHR's network must not reach."""
    with rehearsal.step("From outside: only the hooks, only by name, only with a token") as says:
        for path in ("/metrics", "/cds/lumbar/metrics", "/cds/lumbar/health/ready", "/"):
            expect(404, ehr.send("GET", path).status, path)
        no_token = ehr.send("POST", f"/cds/lumbar/cds-services/{SERVICE}", {"hook": "order-sign"})
        expect(401, no_token.status, "status without a token")
        ca = site_servers.CA / "ca.crt"
        other = shakes_hands("127.0.0.1", "other.example", ca)
        expect("TLSV1_UNRECOGNIZED_NAME", other, "handshake under another name")
        tls = shakes_hands("127.0.0.1", "cds.example", ca)
        expect("TLSv1.3", tls, "version of TLS")
        inside = ehr.send("GET", "/metrics/8001", port=8443)
        expect(200, inside.status, "metrics from inside")
        says(f"{tls}; /metrics and /health are closed")


def go_live(rehearsal: Rehearsal, ehr: Ehr) -> None:
    """Silent first, then cards, feedback, and the record of both."""
    with rehearsal.step("Silent: a signed token, a judged order, no card") as says:
        answer = call(ehr, DAYS_OF_PAIN)
        expect([], answer.cards, "cards in silent mode")
        says(f"row {answer.decision['row']}, {answer.seconds * 1000:.0f} ms")
        rows = rehearsal.run("what-would-have-been-shown").splitlines()
        expect(2, len(rows), "lines of the export: a header and one decision")
    with rehearsal.step("Live, without a restart") as says:
        rehearsal.run("live")
        seconds, answer = wait_for_answer(ehr, lambda a: bool(a.cards), within=2)
        says(f"after {seconds:.1f} s: {answer.cards[0]['summary']!r}")
        token = ehr.token()
        expect([200, 401], [ehr.call(10, token=token).status for _ in range(2)], "token used twice")
        says("a token counts once")
    with rehearsal.step("Feedback, and the record read back") as says:
        expect(200, ehr.accept(answer.cards[0]).status, "feedback")
        says(rehearsal.run("feedback").splitlines()[-1][:100])
        rehearsal.run("forget")


def rotate_keys(rehearsal: Rehearsal, ehr: Ehr) -> None:
    """A second key beside the first, then without it, while calls go on."""
    with rehearsal.step("Rotate the EHR's key under load") as says:
        first, second = ehr.key, Key(Path("/run/ehr-2.key"), "second")
        with Load(ehr) as load:
            register(first, second)
            rehearsal.run("reload")
            wait_until_all_say(200, ehr.with_key(second))
            ehr.key = second
            register(second)
            rehearsal.run("reload")
            wait_until_all_say(401, ehr.with_key(first))
        expect([], load.failed, load.says())
        says(load.says())


def change_rules(rehearsal: Rehearsal, ehr: Ehr) -> None:
    """Another threshold: checked, compared, signed, in use, rolled back."""
    before = call(ehr, DAYS_OF_PAIN).decision
    with rehearsal.step("Edit a rule, check, compare, sign") as says:
        rehearsal.run("edit-knowledge")
        report = rehearsal.run("compare-knowledge")
        says(next(line.strip(" -") for line in report.splitlines() if "threshold" in line)[:60])
        rehearsal.run("sign-knowledge", replace=("first", "second"))
    with rehearsal.step("Restart with the new rules, one replica after the other") as says:
        load = restart_under_load(rehearsal, ehr)
        after = call(ehr, DAYS_OF_PAIN).decision
        knowledge = after["knowledge"]
        expect("2026.2.1", knowledge["version"], "version of the rules")  # type: ignore[index]
        hold(before["row"] != after["row"], "the row of a patient between both limits")
        says(f"row {before['row']} is now {after['row']}; {load.says()}")
    with rehearsal.step("Roll the rules back") as says:
        rehearsal.run("roll-back-knowledge")
        load = restart_under_load(rehearsal, ehr)
        expect(
            before["knowledge"],
            call(ehr, DAYS_OF_PAIN).decision["knowledge"],
            "rules after roll-back",
        )
        says(f"row {before['row']} again; {load.says()}")


def upgrade(rehearsal: Rehearsal, ehr: Ehr) -> None:
    """The next version beside the old one, chosen, and the old one again."""
    new, old = rehearsal.next_version, rehearsal.version
    with rehearsal.step("Upgrade") as says:
        rehearsal.run("install", version=new)
        rehearsal.run("try-new-version", version=new)
        rehearsal.run("choose-version", version=new)
        load = restart_under_load(rehearsal, ehr)
        expect({new}, {readiness(port)["version"] for port in REPLICAS}, "versions that run")
        says(f"{old} to {new}; {load.says()}")
    with rehearsal.step("Roll back") as says:
        rehearsal.run("choose-version")
        load = restart_under_load(rehearsal, ehr)
        expect({old}, {readiness(port)["version"] for port in REPLICAS}, "versions that run")
        call(ehr, DAYS_OF_PAIN)
        says(f"{new} to {old}; {load.says()}")


def break_things(rehearsal: Rehearsal, ehr: Ehr) -> None:
    """A replica dies; the database dies."""
    with rehearsal.step("Kill one replica under load") as says:
        with Load(ehr) as load:
            pid = int(Path("/run/stand-in/lumbar-mri-cds@8001.service.pid").read_text("ascii"))
            os.killpg(pid, signal.SIGKILL)
            time.sleep(2)
            wait_until_ready(8001)
        # Each thread has one call under way; whatever came later went to the other replica.
        hold(len(load.failed) <= load.threads, load.says())
        says(f"{load.says()}; back by itself")
    with rehearsal.step("The database dies, and cards still come") as says:
        site_servers.stop_postgresql()
        answer = call(ehr, 10)
        hold(bool(answer.cards), "a card without the database")
        says(next(w for w in readiness(8001)["warnings"] if "database" in w)[:80])
        site_servers.start_postgresql()
        wait_until(lambda: readiness(8001)["database"]["state"] == "up", 10)


def switch_off(rehearsal: Rehearsal, ehr: Ehr) -> None:
    """The kill switch."""
    with rehearsal.step("Throw the kill switch") as says:
        hold(bool(call(ehr, 10).cards), "a card before")
        rehearsal.run("kill-switch")
        seconds, answer = wait_for_answer(ehr, lambda a: not a.cards, within=2)
        expect(200, answer.status, "status while off")
        says(f"no cards after {seconds:.1f} s, no restart, status 200")
        rehearsal.run("live")


def look_for_leaks(rehearsal: Rehearsal, ehr: Ehr) -> None:
    """No patient and no token in anything that was written."""
    with rehearsal.step(
        "No name of the patient and no token in logs, states and the database"
    ) as says:
        files = [
            file
            for folder in ("/var/log/units", "/var/log/nginx", "/var/lib/lumbar-mri-cds", "/srv")
            for file in Path(folder).rglob("*")
            if file.is_file()
        ]
        # "eyJ" begins every token: base64 of `{"`.
        marks = re.compile(rb"%s|Patient/rehearsal|eyJ[A-Za-z0-9_-]{20}" % CANARY.encode())
        hold(bool(marks.search(ehr.token().encode())), "a token would be found")
        found = [str(file) for file in files if marks.search(file.read_bytes())]
        expect([], found, "files with a patient's name or a token")
        says(f"{len(files)} files searched")


def restart_under_load(rehearsal: Rehearsal, ehr: Ehr) -> Load:
    """Restart as the page says while calls go on; not one of them may fail."""
    with Load(ehr) as load:
        rehearsal.run("restart")
        time.sleep(0.5)
    expect([], load.failed, load.says())
    return load


def register(*keys: Key) -> None:
    """Write the site file: one client with these keys (JSON is YAML)."""
    # No limit: how fast this machine is must not decide how the rehearsal ends.
    client = {
        "issuer": ISSUER,
        "jwks": {"keys": [key.jwk for key in keys]},
        "rateLimit": "off",
    }
    (SETTINGS / "site.yaml").write_text(json.dumps({"clients": [client]}), "utf-8")


def trust(ca: Path) -> None:
    """Let curl know the CA of the site."""
    with Path("/etc/ssl/certs/ca-certificates.crt").open("ab") as bundle:
        bundle.write(ca.read_bytes())


def version_of(program: Path) -> str:
    """Return what --version prints."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def show_logs() -> None:
    """Print the ends of all logs: they are gone in a moment."""
    for log in sorted([*Path("/var/log/units").glob("*"), *Path("/var/log/nginx").glob("*")]):
        lines = log.read_text("utf-8", errors="replace").splitlines()[-5:]
        print(f"\n--- {log}", *(line[:300] for line in lines), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
