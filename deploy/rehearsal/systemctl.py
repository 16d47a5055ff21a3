#!/usr/bin/env python3
"""A stand-in for systemd, where there is none: starts what the units say, as their user.

Of a unit it follows what the rehearsal can prove: user, environment, state directory, read-only
file system, no capabilities, no memory that is writable and executable, restart, reload, stop.
Knows `daemon-reload`, `enable --now`, `start`, `stop`, `restart` and `reload`; nginx is run itself.
"""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

UNITS = Path("/etc/systemd/system")
STATE = Path("/run/stand-in")
LOGS = Path("/var/log/units")
DEFAULT_STOP_SECONDS = 90


class Unit:
    """What a unit file says; %i filled in."""

    def __init__(self, name: str) -> None:
        """Read the file."""
        self.name = name if name.endswith((".service", ".timer")) else f"{name}.service"
        stem, at, rest = self.name.partition("@")
        instance = rest.partition(".")[0]
        text = (UNITS / (f"{stem}@.service" if at else self.name)).read_text("utf-8")
        self._values: dict[str, list[str]] = {}
        for line in text.replace("%i", instance).splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith(("#", "[")):
                self._values.setdefault(key, []).append(value)

    def all(self, key: str) -> list[str]:
        """Return all values of a key."""
        return self._values.get(key, [])

    def one(self, key: str, default: str = "") -> str:
        """Return the last value of a key."""
        return self._values.get(key, [default])[-1]

    def environment(self) -> dict[str, str]:
        """Return the variables that its command gets."""
        found = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        for name in self.all("EnvironmentFile"):
            for line in Path(name).read_text("utf-8").splitlines():
                key, equals, value = line.partition("=")
                if equals and not line.startswith("#"):
                    found[key] = "".join(shlex.split(value))
        for pair in self.all("Environment"):
            key, _, value = pair.partition("=")
            found[key] = value
        return found

    def command(self) -> list[str]:
        """Return the command in its own view of the file system and with nothing it may not do."""
        user, group = self.one("User"), self.one("Group")
        state = Path("/var/lib") / self.one("StateDirectory")
        subprocess.run(["install", "-d", "-m", "0700", "-o", user, "-g", group, state], check=True)
        may_write = f"mount --bind {state} {state}\nmount -t tmpfs -o mode=1777 tmpfs /tmp\n"
        drop = [
            *("setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
            *(sys.executable, __file__, "without-executable-memory"),
            *shlex.split(self.one("ExecStart")),
        ]
        script = may_write + "mount -o remount,ro,bind /\nexec " + shlex.join(drop)
        return ["unshare", "--mount", "bash", "-euc", script]

    def popen(self) -> "subprocess.Popen[bytes]":
        """Start its command."""
        LOGS.mkdir(exist_ok=True)
        with (LOGS / f"{self.name}.log").open("ab") as log:
            return subprocess.Popen(
                self.command(),
                env=self.environment(),
                stdout=log,
                stderr=log,
                umask=int(self.one("UMask", "022"), 8),
                start_new_session=True,
                cwd="/",
            )

    @property
    def pid_file(self) -> Path:
        """Where the process id stands while it runs."""
        return STATE / f"{self.name}.pid"

    @property
    def wanted_file(self) -> Path:
        """Is there for as long as it is to be started again."""
        return STATE / f"{self.name}.wanted"

    def main_pid(self) -> int:
        """Return the id of its first process."""
        return int(self.pid_file.read_text("ascii"))


def start(unit: Unit) -> None:
    """Start a unit; of one that ends by itself, take over the exit code."""
    if unit.one("Type") == "oneshot":
        sys.exit(unit.popen().wait())
    unit.wanted_file.touch()
    # Away from the pipes of whoever asks: they would stay open for as long as the unit runs.
    subprocess.Popen(
        [sys.executable, __file__, "supervise", unit.name],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(unit.pid_file.exists, 10)


def supervise(unit: Unit) -> None:
    """Run the unit, and again after it has ended, for as long as it is wanted."""
    while unit.wanted_file.exists():
        process = unit.popen()
        unit.pid_file.write_text(str(process.pid), "ascii")
        process.wait()
        unit.pid_file.unlink()
        if unit.wanted_file.exists():
            time.sleep(float(unit.one("RestartSec", "0.1")))


def stop(unit: Unit) -> None:
    """Stop a unit; at the end of its patience, by force and with an error."""
    unit.wanted_file.unlink(missing_ok=True)
    if not unit.pid_file.exists():
        return
    pid = unit.main_pid()
    os.kill(pid, signal.SIGTERM)
    seconds = float(unit.one("TimeoutStopSec", str(DEFAULT_STOP_SECONDS)))
    if not wait_until(lambda: not unit.pid_file.exists(), seconds):
        os.killpg(pid, signal.SIGKILL)
        sys.exit(f"{unit.name}: did not stop in {seconds:g} s")


def reload(unit: Unit) -> None:
    """Run what the unit says for it."""
    command = unit.one("ExecReload").replace("$MAINPID", str(unit.main_pid()))
    subprocess.run(shlex.split(command), check=True)


def without_executable_memory(command: list[str]) -> None:
    """Become `command`, which may not make memory executable (prctl 65, Linux 6.3 or later)."""
    ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
    os.execv(command[0], command)  # noqa: S606  # no shell is wanted


def wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Return whether it came to be in time."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def main() -> None:
    """Do what systemctl would."""
    verb, *rest = [word for word in sys.argv[1:] if word != "--now"]
    if verb == "without-executable-memory":
        without_executable_memory(rest)
    if verb == "supervise":
        supervise(Unit(rest[0]))
        return
    STATE.mkdir(exist_ok=True)
    for name in rest:
        if name == "nginx":
            subprocess.run(["nginx", "-s", "reload"], check=True)
            continue
        unit = Unit(name)
        if unit.name.endswith(".timer"):
            continue
        if verb in ("stop", "restart"):
            stop(unit)
        if verb in ("start", "restart", "enable"):
            start(unit)
        if verb == "reload":
            reload(unit)


if __name__ == "__main__":
    main()
