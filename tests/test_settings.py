"""Settings: defaults of the contract, and every way in which an environment is refused."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from certificates import authority, self_signed

from cds_service.errors import SettingsError
from cds_service.modes import Mode
from cds_service.rates import Rate
from cds_service.settings import DESCRIPTIONS, ClientAuth, Settings


def test_an_empty_environment_gives_the_defaults_of_the_contract() -> None:
    settings = Settings.from_environ({"PATH": "/bin", "CDS_PUBLIC_URL": " "})

    assert Settings() == settings
    assert ClientAuth.REQUIRED is settings.client_auth
    assert Mode.LIVE is settings.mode
    assert 1500 == settings.time_budget_ms
    assert 10 * 1024 * 1024 == settings.max_body_bytes
    assert ZoneInfo("UTC") == settings.time_zone
    assert not settings.require_approval


def test_every_setting_is_read(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("orderCodes: {}\n")
    root = authority("Hospital root")
    roots = tmp_path / "roots.pem"
    roots.write_text(f"# Krankenhaus M\u00fcnchen\n{root.pem}\n", "utf-8")
    environ = {
        "CDS_PUBLIC_URL": "https://cds.example/lumbar/",
        "CDS_CLIENT_AUTH": "off",
        "CDS_SITE_FILE": str(site),
        "CDS_FHIR_SERVERS": "https://a.example/fhir, http://127.0.0.1:8080/fhir/",
        "CDS_CA_FILE": str(roots),
        "CDS_HOOKS_PATH": str(tmp_path),
        "CDS_REQUIRE_APPROVAL": "true",
        "CDS_MODE": "silent",
        "CDS_SWITCH_FILE": str(tmp_path / "switch"),
        "CDS_DATABASE_URL": "postgresql://cds:secret@db/cds",
        "CDS_RETENTION_DAYS": "90",
        "CDS_REDIS_URL": "redis://cache",
        "CDS_TIME_BUDGET_MS": "800",
        "CDS_RATE_LIMIT": "6000 per minute",
        "CDS_MAX_BODY_BYTES": "2048",
        "CDS_TIME_ZONE": "America/Chicago",
        "CDS_CORS_ORIGINS": "https://sandbox.example http://localhost:8080",
    }

    assert Settings(
        public_url="https://cds.example/lumbar",
        client_auth=ClientAuth.OFF,
        site_file=site,
        fhir_servers=("https://a.example/fhir", "http://127.0.0.1:8080/fhir"),
        private_roots=root.pem.strip(),
        hooks_path=(tmp_path,),
        require_approval=True,
        mode=Mode.SILENT,
        switch_file=tmp_path / "switch",
        database_url="postgresql://cds:secret@db/cds",
        retention_days=90,
        redis_url="redis://cache",
        time_budget_ms=800,
        rate_limit=Rate(calls=6000, seconds=60),
        max_body_bytes=2048,
        time_zone=ZoneInfo("America/Chicago"),
        cors_origins=("https://sandbox.example", "http://localhost:8080"),
    ) == Settings.from_environ(environ)
    by_file = {"CDS_DATABASE_URL_FILE", "CDS_REDIS_URL_FILE"}
    assert {d.name for d in DESCRIPTIONS} == set(environ) | by_file


@pytest.mark.parametrize("name", ["CDS_DATABASE_URL", "CDS_REDIS_URL"])
def test_a_url_with_a_password_may_stand_in_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:secret@cache/0\n", "utf-8")

    assert Settings.from_environ({name: "redis://:secret@cache/0"}) == Settings.from_environ(
        {f"{name}_FILE": str(file)}
    )


@pytest.mark.parametrize(
    ("content", "beside", "says"),
    [
        ("secret word", "", "what the file holds must be a URL with a scheme"),
        ("", "", "what the file holds must be a URL with a scheme"),
        ("redis://:secret@cache", "redis://other", "CDS_REDIS_URL is set too; keep one of them"),
        (None, "", "is not a file that can be read"),
    ],
)
def test_a_file_that_is_no_use_is_named_and_its_content_is_not(
    content: str | None, beside: str, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_text(content, "utf-8")

    with pytest.raises(SettingsError, match="CDS_REDIS_URL_FILE: ") as refused:
        Settings.from_environ({"CDS_REDIS_URL_FILE": str(file), "CDS_REDIS_URL": beside})

    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CDS_CLIENT_AUHT", "off", "did you mean CDS_CLIENT_AUTH?"),
        ("CDS_XYZZY", "1", "no such setting; known: "),
        ("CDS_CLIENT_AUTH", "none", "one of required, off"),
        ("CDS_MODE", "LIVE", "one of live, silent, off"),
        ("CDS_REQUIRE_APPROVAL", "yes", "true or false"),
        ("CDS_TIME_BUDGET_MS", "99", "from 100 to 30000"),
        ("CDS_TIME_BUDGET_MS", "1.5", "whole number"),
        ("CDS_TIME_BUDGET_MS", "²", "whole number"),
        ("CDS_MAX_BODY_BYTES", "10MB", "whole number"),
        ("CDS_RATE_LIMIT", "100", "one rate, such as 100 per second"),
        ("CDS_RETENTION_DAYS", "0", "from 1 to 36500"),
        ("CDS_TIME_ZONE", "Chicago", "time zone name"),
        ("CDS_TIME_ZONE", "../etc/passwd", "time zone name"),
        ("CDS_PUBLIC_URL", "cds.example", "http or https URL"),
        ("CDS_PUBLIC_URL", "https://me:pw@cds.example", "without user name"),
        ("CDS_FHIR_SERVERS", "https://a.example/fhir file:///etc", "http or https URL"),
        ("CDS_CORS_ORIGINS", "*", "origins such as"),
        ("CDS_CORS_ORIGINS", "https://ehr.example/", "without a path"),
        ("CDS_DATABASE_URL", "cds.db", "URL with a scheme"),
        ("CDS_SITE_FILE", "no/such/file.yaml", "not a file"),
        ("CDS_HOOKS_PATH", "no/such/folder", "not a directory: no/such/folder"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_start_up(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: ") as caught:
        Settings.from_environ({name: value})

    assert says in str(caught.value)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({"CDS_MODE": "on", "CDS_NOPE": "1", "CDS_TIME_ZONE": "Mars"})

    assert ["CDS_NOPE", "CDS_MODE", "CDS_TIME_ZONE"] == [
        line.partition(":")[0] for line in str(caught.value).splitlines()
    ]


def test_passwords_in_urls_are_never_shown() -> None:
    environ = {
        "CDS_DATABASE_URL": "postgresql://cds:secret@db/cds",
        "CDS_REDIS_URL": "redis://:secret@cache",
    }

    assert "secret" not in repr(Settings.from_environ(environ))


def test_the_defaults_that_are_described_are_the_ones_that_hold() -> None:
    in_words = ("none", "bundled", "SQLite, state directory")
    described = {d.name: d.default for d in DESCRIPTIONS if d.default not in in_words}

    assert Settings() == Settings.from_environ(described)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"XDG_STATE_HOME": "/var/state"}, "sqlite:////var/state/lumbar-mri-cds/store.sqlite3"),
        ({"CDS_DATABASE_URL": "postgresql://db/cds"}, "postgresql://db/cds"),
    ],
)
def test_the_store_is_a_file_in_the_state_directory_unless_named(
    environ: dict[str, str], url: str
) -> None:
    assert url == Settings.from_environ(environ).store_url


@pytest.mark.parametrize("named", ["", "relative/folder"])
def test_a_state_directory_that_is_not_absolute_does_not_count(named: str) -> None:
    url = Settings.from_environ({"XDG_STATE_HOME": named}).store_url

    assert f"sqlite:///{Path.home()}/.local/state/lumbar-mri-cds/store.sqlite3" == url


_BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "holds no CA certificate", id="empty"),
        pytest.param("MIIB", "holds no CA certificate", id="no PEM"),
        pytest.param(
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "holds no CA certificate",
            id="a key",
        ),
        pytest.param(self_signed().pem, "holds no CA certificate", id="no CA"),
        pytest.param(_BROKEN, "cannot be read", id="broken"),
        pytest.param(authority("Root").pem + _BROKEN, "cannot be read", id="one of two broken"),
        pytest.param(authority("Root").pem[:200], "holds no CA certificate", id="cut off"),
    ],
)
def test_a_ca_file_that_would_help_nobody_stops_start_up(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "roots.pem"
    file.write_text(text, "ascii")

    with pytest.raises(SettingsError, match=f"^CDS_CA_FILE: .*{says}"):
        Settings.from_environ({"CDS_CA_FILE": str(file)})


@pytest.mark.parametrize("file", ["/no/such/roots.pem", "/", "/proc/self/mem"])
def test_a_ca_file_that_cannot_be_read_stops_start_up(file: str) -> None:
    with pytest.raises(SettingsError, match=r"^CDS_CA_FILE: is not a file that can be read"):
        Settings.from_environ({"CDS_CA_FILE": file})
