"""Tokens seen before, in real stores: once over all workers and replicas; stores that fail."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from client_tokens import (
    AUDIENCE,
    PUBLIC_URL,
    bearer,
    client_entry,
    site_text,
    token,
)
from http_service import KNEE_MRI, ORDER_SELECT, client, error_code, fire, hook_request
from own_servers import OwnServer, own_postgresql, own_redis
from served import Served, served

from cds_service.client_auth.gate import check_clients
from cds_service.client_auth.seen_in_redis import RedisSeenTokens
from cds_service.client_auth.seen_tokens import (
    SECONDS_KEPT_LONGER,
    SeenTokens,
    SqlSeenTokens,
    store_for,
)
from cds_service.errors import SettingsError
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import load_site_file, parse_site_file
from cds_service.store.database import Database
from cds_service.store.rest import SECONDS_LEFT_ALONE, StoreDown
from cds_service.store.tables import METADATA, SEEN_TOKEN

pytestmark = pytest.mark.xdist_group("timed")

NOW = 1_800_000_000
STORES = ("sqlite", "postgresql", "redis")


@pytest.fixture(scope="module")
def postgresql() -> Iterator[OwnServer]:
    with own_postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def redis_server() -> Iterator[OwnServer]:
    with own_redis() as server:
        yield server


@pytest.fixture(params=STORES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Return settings that name one of the stores."""
    match request.param:
        case "sqlite":
            return Settings(public_url=PUBLIC_URL, state_directory=tmp_path / "state")
        case "postgresql":
            server: OwnServer = request.getfixturevalue("postgresql")
            return Settings(public_url=PUBLIC_URL, database_url=server.url)
        case _:
            server = request.getfixturevalue("redis_server")
            return Settings(public_url=PUBLIC_URL, redis_url=server.url)


def opened(settings: Settings) -> SeenTokens:
    database = Database(settings.store_url, monotonic=time.monotonic)
    return store_for(settings, database, monotonic=time.monotonic)


def in_database(url: str, monotonic: Callable[[], float] = time.monotonic) -> SqlSeenTokens:
    return SqlSeenTokens(Database(url, monotonic=monotonic), monotonic=monotonic)


def is_new(store: SeenTokens, jti: str, client_id: str = "ehr", *, ends_in: int = 300) -> bool:
    return store.is_new(client_id, jti, expires_at=NOW + ends_in, now=NOW)


@pytest.mark.parametrize("jti", ["plain", "\ud800", "' OR 1=1 --", "a" * 200, "ключ\x00"], ids=repr)
def test_a_jti_is_new_once_for_each_client(settings: Settings, jti: str) -> None:
    """R-SEC-10."""
    store = opened(settings)
    store.check()

    assert is_new(store, jti)
    assert not is_new(store, jti)
    assert is_new(store, jti, "another")
    assert not is_new(opened(settings), jti)


def test_of_many_at_once_exactly_one_is_new(settings: Settings) -> None:
    """R-SEC-10: atomically, over two replicas with eight threads each."""
    replicas = [opened(settings), opened(settings)]
    tries = [(replicas[n % 2], f"race-{jti}") for jti in range(25) for n in range(8)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda each: is_new(*each), tries))

    assert 25 == sum(answers)
    assert [1] * 25 == [sum(answers[n : n + 8]) for n in range(0, 200, 8)]


def test_what_has_ended_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    moment = 0.0
    store = in_database(f"sqlite:///{tmp_path}/s.sqlite3", lambda: moment)
    assert is_new(store, "short", ends_in=10)
    assert is_new(store, "long", ends_in=3000)

    assert 0 == store.purge(NOW + 10 + SECONDS_KEPT_LONGER)
    assert 1 == store.purge(NOW + 11 + SECONDS_KEPT_LONGER)
    assert not is_new(store, "long", ends_in=3000)
    assert is_new(store, "short", ends_in=10)


def test_forgetting_happens_by_itself_now_and_then(tmp_path: Path) -> None:
    moments = [0.0]
    url = f"sqlite:///{tmp_path}/s.sqlite3"
    store = in_database(url, lambda: moments[0])
    late = NOW + 100_000

    def count() -> int:
        with sa.create_engine(url).connect() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(SEEN_TOKEN)) or 0)

    for jti in ("a", "b", "c"):
        is_new(store, jti)
    assert store.is_new("ehr", "d", expires_at=late, now=late)
    assert 4 == count()

    moments[0] = 301.0
    assert store.is_new("ehr", "e", expires_at=late, now=late)
    assert 2 == count()


def test_redis_forgets_by_itself(redis_server: OwnServer) -> None:
    store = RedisSeenTokens(redis_server.url, monotonic=time.monotonic)

    assert store.is_new("ehr", "brief", expires_at=NOW, now=NOW + SECONDS_KEPT_LONGER - 0.05)
    time.sleep(0.2)
    assert store.is_new("ehr", "brief", expires_at=NOW, now=NOW)


def test_the_store_holds_neither_client_nor_jti_in_words(tmp_path: Path) -> None:
    """R-SEC-14."""
    path = tmp_path / "s.sqlite3"
    store = in_database(f"sqlite:///{path}")
    assert is_new(store, "canary-jti", "canary-client")

    assert b"canary" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["postgresql", "redis"])
def test_a_store_that_stops_refuses_with_503_and_recovers_without_a_restart(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not 401, which would send an integrator looking for a fault in the token."""
    site = parse_site_file(site_text(client_entry()), name="site.yaml")
    with own_postgresql() if kind == "postgresql" else own_redis() as server:
        named = {"database_url" if kind == "postgresql" else "redis_url": server.url}
        to = client(Settings(public_url=PUBLIC_URL, **named), site=site)  # type: ignore[arg-type]  # one of two texts
        spent = token()
        assert 200 == fire(to, hook_request(), headers=bearer(spent)).status_code
        assert 200 == to.get("/health/ready").status_code

        server.kill()
        kept = token()
        ready = to.get("/health/ready")
        time.sleep(SECONDS_LEFT_ALONE)
        refused = fire(to, hook_request(), headers=bearer(kept))
        assert 503 == refused.status_code
        assert "unavailable" == error_code(refused)
        assert 503 == ready.status_code
        assert "store of seen client tokens does not answer" in ready.text
        assert 401 == fire(to, hook_request(), headers=bearer("x")).status_code
        assert 'cds_client_refusals_total{reason="store-down"} 1.0' in to.get("/metrics").text

        server.start()
        time.sleep(SECONDS_LEFT_ALONE)
        assert 200 == to.get("/health/ready").status_code
        assert 200 == fire(to, hook_request(), headers=bearer(kept)).status_code
        if kind == "postgresql":
            # Killed as by a power cut, and yet nothing acknowledged is lost.
            assert 401 == fire(to, hook_request(), headers=bearer(spent)).status_code
        server.kill()
    assert "127.0.0.1" not in repr([vars(r) for r in caplog.records])


def test_a_store_that_has_just_failed_is_left_alone_for_a_moment() -> None:
    """Each call would wait a second or two for it, and all threads of a worker with them."""
    moments = [0.0]
    with own_redis() as server:
        store = RedisSeenTokens(server.url, monotonic=lambda: moments[0])
        server.kill()
        with pytest.raises(StoreDown, match="ConnectionError"):
            is_new(store, "a")
        server.start()

        with pytest.raises(StoreDown, match="just failed"):
            is_new(store, "a")
        moments[0] = SECONDS_LEFT_ALONE
        assert is_new(store, "a")


def test_a_store_that_comes_up_after_the_service_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file where the folder should be")
    store = in_database(f"sqlite:///{folder}/s.sqlite3")

    with pytest.raises(StoreDown):
        store.check()
    with pytest.raises(StoreDown):
        is_new(store, "a")
    folder.unlink()
    time.sleep(SECONDS_LEFT_ALONE)
    assert is_new(store, "a")
    store.check()


def test_tables_that_were_dropped_are_made_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite3"
    store = in_database(url)
    assert is_new(store, "a")
    with sa.create_engine(url).begin() as connection:
        METADATA.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))

    with pytest.raises(StoreDown):
        is_new(store, "b")
    time.sleep(SECONDS_LEFT_ALONE)
    assert is_new(store, "b")


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"database_url": "mysql://me:secret@db/cds"}, "CDS_DATABASE_URL: must be sqlite"),
        ({"database_url": "sqlite://"}, "CDS_DATABASE_URL: must be sqlite"),
        ({"database_url": "sqlite:///:memory:"}, "CDS_DATABASE_URL: must be sqlite"),
        ({"database_url": "nothing:secret"}, "CDS_DATABASE_URL: must be sqlite"),
        ({"database_url": "postgresql://db:secret/cds"}, "CDS_DATABASE_URL: must be sqlite"),
        ({"redis_url": "http://:secret@cache"}, "CDS_REDIS_URL: must be redis"),
    ],
)
def test_a_url_that_cannot_be_used_stops_start_up_and_is_not_repeated(
    named: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        opened(Settings(**named))  # type: ignore[arg-type]  # one of two texts

    assert "secret" not in str(caught.value)


def started_with(settings: Settings, site_file: Path) -> dict[str, str]:
    """Return the environment of one replica."""
    environ = {
        "CDS_PUBLIC_URL": PUBLIC_URL,
        "CDS_SITE_FILE": str(site_file),
        "XDG_STATE_HOME": str(settings.state_directory.expanduser().parent),
    }
    if settings.redis_url:
        return environ | {"CDS_REDIS_URL": settings.redis_url}
    return environ | {"CDS_DATABASE_URL": settings.store_url}


def post(server: Served, compact: str) -> int:
    answer = requests.post(
        server.url + ORDER_SELECT, json=hook_request(KNEE_MRI), headers=bearer(compact), timeout=10
    )
    return answer.status_code


def test_a_token_gets_in_once_at_two_replicas_of_two_workers(
    settings: Settings, tmp_path: Path
) -> None:
    """R-SEC-10: the real server, twice, over one store; each token eight times at once."""
    site_file = tmp_path / "site.yaml"
    site_file.write_text(site_text(client_entry()), "utf-8")
    environ = started_with(settings, site_file)
    now = int(time.time())
    tokens = [token(iat=now, exp=now + 300) for _ in range(20)]
    with served(environ) as first, served(environ) as second:
        jobs = [((first, second)[n % 2], each) for each in tokens for n in range(8)]
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda job: post(*job), jobs))
        # The last lines are written after the last answers.
        give_up = time.monotonic() + 20
        lines: list[dict[str, object]] = []
        while time.monotonic() < give_up and len(lines) < len(jobs):
            said = first.messages() + second.messages()
            lines = [line for line in said if line["message"] == "hook call"]

    assert {200, 401} == set(answers)
    assert [1] * 20 == [answers[n : n + 8].count(200) for n in range(0, 160, 8)]
    # Both workers of both replicas took part, or the test would prove little.
    assert 3 <= len({line["pid"] for line in lines})
    assert 140 == sum(line.get("reason") == "replay" for line in lines)


def test_a_client_added_to_the_site_file_is_let_in_after_sighup(tmp_path: Path) -> None:
    site_file = tmp_path / "site.yaml"
    site_file.write_text("clients: []", "utf-8")
    settings = Settings(state_directory=tmp_path / "state" / "lumbar-mri-cds")
    now = int(time.time())
    with served(started_with(settings, site_file)) as server:
        assert 401 == post(server, token(iat=now, exp=now + 300))
        assert "registers no client" in str(server.wait_for("every call is refused")["reason"])
        site_file.write_text(site_text(client_entry()), "utf-8")
        server.signal(signal.SIGHUP)
        give_up = time.monotonic() + 20
        while post(server, token(iat=now, exp=now + 300)) != 200 and time.monotonic() < give_up:
            time.sleep(0.1)

        assert 200 == requests.get(f"{server.url}/health/ready", timeout=5).status_code


def test_without_a_public_url_each_client_must_list_audiences(tmp_path: Path) -> None:
    site_file = tmp_path / "site.yaml"
    site_file.write_text(site_text(client_entry()), "utf-8")
    start = served({"CDS_SITE_FILE": str(site_file)})

    with pytest.raises(AssertionError, match="CDS_PUBLIC_URL: must be set, or each client"), start:
        pass
    with pytest.raises(SettingsError, match="CDS_PUBLIC_URL"):
        check_clients(Settings(), load_site_file(site_file))
    check_clients(Settings(client_auth=ClientAuth.OFF), load_site_file(site_file))
    listed = parse_site_file(site_text(client_entry(audiences=[AUDIENCE])), name="site.yaml")
    check_clients(Settings(), listed)
