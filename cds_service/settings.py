"""Settings of one process, read once from the environment (contract, "Settings").

The only reader of the environment. A `CDS_` name that is not known stops start-up, so that a
typing error never leaves a safety setting at its default.
"""

import difflib
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cds_service.errors import SettingsError
from cds_service.modes import Mode
from cds_service.rates import Rate, parse_rate

PREFIX = "CDS_"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----", re.ASCII)
_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)
_STATE_FOLDER = "lumbar-mri-cds"
_STORE_FILE = "store.sqlite3"
_USUAL_RATE = Rate(calls=100, seconds=1)


class ClientAuth(StrEnum):
    """Whether a CDS Client has to prove who it is."""

    REQUIRED = "required"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDescription:
    """One setting, as `--help` and the README list it."""

    name: str
    default: str
    says: str


DESCRIPTIONS = tuple(
    SettingDescription(name=PREFIX + name, default=default, says=says)
    for name, default, says in (
        (
            "PUBLIC_URL",
            "none",
            "Base URL for clients: `aud` of a token is `{CDS_PUBLIC_URL}/cds-services/{id}`.",
        ),
        (
            "CLIENT_AUTH",
            "required",
            "`required`: only clients of the site file may call. `off`: anybody may.",
        ),
        (
            "SITE_FILE",
            "none",
            "YAML file of the site: its clients, its order and exam codes. Read again on SIGHUP.",
        ),
        (
            "FHIR_SERVERS",
            "none",
            "FHIR base URLs a call may name with CDS_CLIENT_AUTH=off, by blanks; `try`: the first.",
        ),
        (
            "CA_FILE",
            "none",
            "PEM file of further CAs to trust, for FHIR servers and key sets. Read at start.",
        ),
        (
            "HOOKS_PATH",
            "bundled",
            "Directories searched for knowledge folders, as in PATH; the first match counts.",
        ),
        ("REQUIRE_APPROVAL", "false", "`true` refuses knowledge that the site has not approved."),
        (
            "MODE",
            "live",
            "`live`, `silent` (decide and record, no cards) or `off` (answer at once, no cards).",
        ),
        (
            "SWITCH_FILE",
            "none",
            "A file that holds `live`, `silent` or `off` and overrides CDS_MODE within a second.",
        ),
        (
            "DATABASE_URL",
            "SQLite, state directory",
            "SQLAlchemy URL of the record and the seen tokens; `postgresql://…` in production.",
        ),
        (
            "DATABASE_URL_FILE",
            "none",
            "A file that holds CDS_DATABASE_URL, for a URL with a password. Read at start.",
        ),
        (
            "RETENTION_DAYS",
            "400",
            "Days that `cds-service record forget` keeps of the record; 1 to 36500.",
        ),
        (
            "REDIS_URL",
            "none",
            "Keeps the seen tokens, in place of the database, and counts calls, for all replicas.",
        ),
        ("REDIS_URL_FILE", "none", "A file that holds CDS_REDIS_URL. Read at start."),
        (
            "TIME_BUDGET_MS",
            "1500",
            "Milliseconds for one whole call, reading the FHIR server included; 100 to 30000.",
        ),
        (
            "RATE_LIMIT",
            "100 per second",
            "Calls of one client, such as `6000 per minute`, or `off`; those beyond get 429.",
        ),
        ("MAX_BODY_BYTES", "10485760", "Larger bodies are refused with 413; 1024 to 268435456."),
        (
            "TIME_ZONE",
            "UTC",
            'Zone of the organisation, for example America/Chicago: decides what "today" is.',
        ),
        (
            "CORS_ORIGINS",
            "none",
            "Browser origins that may call, such as https://ehr.example; separated by blanks.",
        ),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked."""

    public_url: str | None = None
    client_auth: ClientAuth = ClientAuth.REQUIRED
    site_file: Path | None = None
    fhir_servers: tuple[str, ...] = ()
    """Base URLs without a trailing slash."""
    private_roots: str = field(default="", repr=False)
    """PEM of CAs to trust beside the usual ones: the file as it was at start."""
    hooks_path: tuple[Path, ...] = ()
    """Empty: the bundled folders only."""
    require_approval: bool = False
    mode: Mode = Mode.LIVE
    switch_file: Path | None = None
    database_url: str | None = field(default=None, repr=False)
    """May hold a password, so it is never shown. None: a file in the state directory."""
    retention_days: int = 400
    redis_url: str | None = field(default=None, repr=False)
    time_budget_ms: int = 1500
    rate_limit: Rate = _USUAL_RATE
    """Of clients whose entry in the site file names none."""
    max_body_bytes: int = 10 * 1024 * 1024
    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    cors_origins: tuple[str, ...] = ()
    state_directory: Path = Path("~/.local/state") / _STATE_FOLDER
    """What the service writes here; `$XDG_STATE_HOME/lumbar-mri-cds` where that is set."""

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store."""
        file = self.state_directory.expanduser() / _STORE_FILE
        return self.database_url or f"sqlite:///{file}"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings in `environ`; an empty value counts as not set.

        Raises SettingsError that lists every problem, one a line.
        """
        reader = _Reader(environ)
        usual = cls()
        settings = cls(
            public_url=reader.read("PUBLIC_URL", _url, usual.public_url),
            client_auth=reader.read("CLIENT_AUTH", _choice(ClientAuth), usual.client_auth),
            site_file=reader.read("SITE_FILE", _file, usual.site_file),
            fhir_servers=reader.read("FHIR_SERVERS", _several(_url), usual.fhir_servers),
            private_roots=reader.read("CA_FILE", _ca_certificates, usual.private_roots),
            hooks_path=reader.read("HOOKS_PATH", _directories, usual.hooks_path),
            require_approval=reader.read(
                "REQUIRE_APPROVAL", _true_or_false, usual.require_approval
            ),
            mode=reader.read("MODE", _choice(Mode), usual.mode),
            switch_file=reader.read("SWITCH_FILE", Path, usual.switch_file),
            database_url=reader.read_secret("DATABASE_URL", _url_of_any_scheme, usual.database_url),
            retention_days=reader.read(
                "RETENTION_DAYS", _whole_number(1, 36_500), usual.retention_days
            ),
            redis_url=reader.read_secret("REDIS_URL", _url_of_any_scheme, usual.redis_url),
            time_budget_ms=reader.read(
                "TIME_BUDGET_MS", _whole_number(100, 30_000), usual.time_budget_ms
            ),
            rate_limit=reader.read("RATE_LIMIT", parse_rate, usual.rate_limit),
            max_body_bytes=reader.read(
                "MAX_BODY_BYTES", _whole_number(1024, 256 * 1024 * 1024), usual.max_body_bytes
            ),
            time_zone=reader.read("TIME_ZONE", _zone, usual.time_zone),
            cors_origins=reader.read("CORS_ORIGINS", _several(_origin), usual.cors_origins),
            state_directory=_state_directory(environ) or usual.state_directory,
        )
        reader.finish()
        return settings


class _Reader:
    """Reads one setting after the other and keeps all problems for the end."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._values = {n: v.strip() for n, v in environ.items() if n.startswith(PREFIX)}
        self._problems = [_unknown(n) for n in sorted(self._values) if n not in _KNOWN]

    def read(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        value = self._values.get(PREFIX + name, "")
        if not value:
            return default
        try:
            return parse(value)
        except ValueError as error:
            self._problems.append(f"{PREFIX}{name}: {error}")
            return default

    def read_secret(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        """Read a setting that may stand in a file named by `…_FILE`; messages never repeat it."""
        by_file = f"{PREFIX}{name}_FILE"
        named = self._values.get(by_file, "")
        if not named:
            return self.read(name, parse, default)
        if self._values.get(PREFIX + name):
            self._problems.append(f"{by_file}: {PREFIX}{name} is set too; keep one of them")
        try:
            return parse(Path(named).read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError):
            self._problems.append(f"{by_file}: is not a file that can be read")
        except ValueError as error:
            self._problems.append(f"{by_file}: what the file holds {error}")
        return default

    def finish(self) -> None:
        if self._problems:
            raise SettingsError("\n".join(self._problems))


def _state_directory(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that the XDG base directory specification gives; None for the usual one."""
    named = Path(environ.get("XDG_STATE_HOME", ""))
    return named / _STATE_FOLDER if named.is_absolute() else None


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _KNOWN, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(_KNOWN))}"
    return f"{name}: no such setting; {hint}"


def _choice(choices: type[_E]) -> Callable[[str], _E]:
    def parse(value: str) -> _E:
        try:
            return choices(value)
        except ValueError:
            msg = f"must be one of {', '.join(choices)}"
            raise ValueError(msg) from None

    return parse


def _true_or_false(value: str) -> bool:
    if value not in ("true", "false"):
        msg = "must be true or false"
        raise ValueError(msg)
    return value == "true"


def _whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not lowest <= int(value) <= highest:
            msg = f"must be a whole number from {lowest} to {highest}"
            raise ValueError(msg)
        return int(value)

    return parse


def _several(parse_one: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def parse(value: str) -> tuple[str, ...]:
        return tuple(parse_one(one) for one in value.replace(",", " ").split())

    return parse


def _url(value: str) -> str:
    """Return an http(s) URL without a trailing slash; messages never repeat it."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        msg = "must be an http or https URL with a host"
        raise ValueError(msg)
    if parts.username or parts.query or parts.fragment:
        msg = "must be a URL without user name, query and fragment"
        raise ValueError(msg)
    return value.rstrip("/")


def _origin(value: str) -> str:
    """Return a browser origin: scheme, host and port. `*` would let any page ask."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or value != f"{parts.scheme}://{parts.netloc.lower()}":
        msg = "must be origins such as https://ehr.example, in lower case and without a path"
        raise ValueError(msg)
    return value


def _url_of_any_scheme(value: str) -> str:
    if not urlsplit(value).scheme:
        msg = "must be a URL with a scheme"
        raise ValueError(msg)
    return value


def _file(value: str) -> Path:
    path = Path(value)
    if not path.is_file():
        msg = "is not a file that can be read"
        raise ValueError(msg)
    return path


def _ca_certificates(value: str) -> str:
    """Return the certificates in a PEM file, without what else stands there."""
    try:
        text = _file(value).read_text("ascii", "replace")
    except OSError:
        msg = "is not a file that can be read"
        raise ValueError(msg) from None
    found = "\n".join(_CERTIFICATE.findall(text))
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if found:
            trusted.load_verify_locations(cadata=found)
    except ssl.SSLError:
        msg = "holds a certificate that cannot be read"
        raise ValueError(msg) from None
    if not trusted.get_ca_certs():
        msg = "holds no CA certificate in PEM form (-----BEGIN CERTIFICATE-----)"
        raise ValueError(msg)
    return found


def _directories(value: str) -> tuple[Path, ...]:
    paths = tuple(Path(one) for one in value.split(os.pathsep) if one)
    missing = [str(p) for p in paths if not p.is_dir()]
    if missing:
        msg = f"is not a directory: {', '.join(missing)}"
        raise ValueError(msg)
    return paths


def _zone(value: str) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = "must be a time zone name such as America/Chicago"
        raise ValueError(msg) from None


_KNOWN = frozenset(d.name for d in DESCRIPTIONS)
