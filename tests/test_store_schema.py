"""The schema of the store: made, brought up to date, left alone; the same on both databases."""

import threading
import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from own_servers import OwnServer, new_database

from cds_service.store.database import Database
from cds_service.store.rest import StoreDown
from cds_service.store.schema import HEAD, config_for, revision_of
from cds_service.store.tables import DECISION, FEEDBACK, METADATA, SEEN_TOKEN


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, in place of the one with tables of `conftest.py`."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite3"
    server: OwnServer = request.getfixturevalue("postgresql_server")
    return new_database(server)


def opened(url: str) -> Database:
    return Database(url, monotonic=time.monotonic, seconds=30)  # not of speed


def script(connection: sa.Connection) -> ScriptDirectory:
    return ScriptDirectory.from_config(config_for(connection))


def test_the_migrations_make_the_tables_that_the_code_uses(
    database_url: str, connected: sa.Connection
) -> None:
    opened(database_url).check()

    context = MigrationContext.configure(connected, opts={"compare_type": True})
    assert [] == compare_metadata(context, METADATA)
    assert HEAD == revision_of(connected)


def test_the_head_is_the_newest_migration(connected: sa.Connection) -> None:
    assert [HEAD] == script(connected).get_heads()


def test_no_migration_takes_anything_away(connected: sa.Connection) -> None:
    """An earlier version of the service goes on, during an update and after a roll-back."""
    for each in script(connected).walk_revisions():
        text = Path(each.path).read_text("utf-8")

        assert "drop_" not in text
        assert "def downgrade" not in text


def test_a_store_from_before_there_were_migrations_keeps_its_tokens(
    database_url: str, connected: sa.Connection
) -> None:
    SEEN_TOKEN.create(connected)
    row = {"client": "c", "token": "t", "expires_at": 5}
    connected.execute(sa.insert(SEEN_TOKEN), row)
    connected.commit()

    opened(database_url).check()

    assert [row] == [dict(r) for r in connected.execute(sa.select(SEEN_TOKEN)).mappings()]
    assert sa.inspect(connected).has_table(DECISION.name)


def test_many_replicas_that_start_at_once_make_one_schema(
    database_url: str, connected: sa.Connection
) -> None:
    replicas = [opened(database_url) for _ in range(6)]
    start = threading.Barrier(len(replicas))
    faults: list[Exception] = []

    def check(replica: Database) -> None:
        start.wait()
        try:
            for _ in range(20):
                try:
                    return replica.check()
                except StoreDown:  # another one holds the lock for longer than a call may wait
                    time.sleep(0.3)
            replica.check()
        except Exception as fault:  # noqa: BLE001 - reported in the test's own thread
            faults.append(fault)

    threads = [threading.Thread(target=check, args=[replica]) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == faults
    assert HEAD == revision_of(connected)
    assert [] == connected.execute(sa.select(FEEDBACK)).all()


def test_a_store_of_a_later_version_is_used_as_it_is(
    database_url: str, connected: sa.Connection
) -> None:
    """After a roll-back of the service its database stays newer."""
    opened(database_url).check()
    connected.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    connected.execute(sa.text("ALTER TABLE decision ADD COLUMN invented INTEGER"))
    connected.commit()

    opened(database_url).check()

    assert "9999" == revision_of(connected)


def test_a_user_who_may_not_change_tables_is_told_so(postgresql_server: OwnServer) -> None:
    """The site's own administrator then runs `cds-service record upgrade`."""
    url = new_database(postgresql_server)
    role = url.rpartition("/")[2].replace("cds_", "guest_")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
    guest = url.replace("cds@", f"{role}@")

    with pytest.raises(StoreDown, match="ProgrammingError"):
        opened(guest).check()

    opened(url).check()
    with psycopg.connect(url, autocommit=True) as connection:
        rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
        connection.execute(f"GRANT {rights} TO {role}".encode())
    opened(guest).check()


def test_a_file_that_cannot_be_written_to_is_found_out(tmp_path: Path) -> None:
    opened(f"sqlite:///{tmp_path}/s.sqlite3").check()

    with pytest.raises(StoreDown, match="OperationalError"):
        opened(f"sqlite:///file:{tmp_path}/s.sqlite3?mode=ro&uri=true").check()
