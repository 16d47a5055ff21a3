"""Local order codes that no map knows, for `cds-service unmapped`.

A code or title may hold anything, a patient's name too, so one is kept only when it has come for
several patients: then it is the catalogue's. Until then it stays in the memory of the process.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cds_service.record.decisions import fitting_client
from cds_service.store.database import Database, insert_into
from cds_service.store.rest import StoreDown
from cds_service.store.tables import UNMAPPED_CODE
from cds_service.unmapped_codes import LocalCode

PATIENTS_NEEDED = 3
_SECONDS_BETWEEN_WRITES = 60.0
_MOST_WAITING = 2_000
_MOST_KNOWN = 5_000

_Key = tuple[str, LocalCode]
"""Client and code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmappedCode:
    """One line of the list."""

    client: str
    system: str
    code: str
    title: str
    orders: int
    last_seen_at: datetime


class UnmappedRecord:
    """Counts in memory, and writes what is new at once, the counts once a minute."""

    def __init__(self, database: Database, *, monotonic: Callable[[], float]) -> None:
        """Write into `database`."""
        self._database = database
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._patients: OrderedDict[_Key, list[str]] = OrderedDict()
        self._counts: dict[_Key, int] = {}
        self._known: set[_Key] = set()
        self._write_at = 0.0

    def note(
        self, codes: Iterable[LocalCode], *, client: str, patient_id: str, at: datetime
    ) -> None:
        """Count the codes of one call. Never fails: a list for analysts holds up no call."""
        with self._lock:
            for code in codes:
                self._count((fitting_client(client), code), patient_id)
            if not self._counts or self._monotonic() < self._write_at:
                return
            counts, self._counts = self._counts, {}
            self._write_at = self._monotonic() + _SECONDS_BETWEEN_WRITES
        try:
            self._write(counts, at)
        except StoreDown:
            with self._lock:
                for key, orders in counts.items():
                    self._counts[key] = self._counts.get(key, 0) + orders

    def _count(self, key: _Key, patient_id: str) -> None:
        if key in self._known:
            self._counts[key] = self._counts.get(key, 0) + 1
            return
        # Which patients, only until there are enough; the one waiting longest makes room.
        patients = self._patients.setdefault(key, [])
        if patient_id not in patients:
            patients.append(patient_id)
        if len(patients) >= PATIENTS_NEEDED and len(self._known) < _MOST_KNOWN:
            self._known.add(key)
            self._counts[key] = len(patients)
            self._write_at = 0.0
            del self._patients[key]
        elif len(self._patients) > _MOST_WAITING:
            self._patients.popitem(last=False)

    def _write(self, counts: dict[_Key, int], at: datetime) -> None:
        rows = [
            {
                "client": client,
                "system": code.system,
                "code": code.code,
                "title": code.title,
                "orders": orders,
                "last_seen_at": at,
                "fingerprint": hashlib.sha256(
                    json.dumps([client, code.system, code.code, code.title]).encode()
                ).hexdigest(),
            }
            for (client, code), orders in counts.items()
        ]
        # In one order in every process: two that write the same rows do not wait for each other.
        rows.sort(key=lambda row: str(row["fingerprint"]))
        self._database.run(lambda connection: _add(connection, rows))


def _add(connection: sa.Connection, rows: list[dict[str, object]]) -> None:
    statement = insert_into(connection, UNMAPPED_CODE)
    counted = {
        "orders": UNMAPPED_CODE.c.orders + statement.excluded.orders,
        "last_seen_at": statement.excluded.last_seen_at,
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=["fingerprint"], set_=counted), rows
    )


def read_unmapped(database: Database) -> list[UnmappedCode]:
    """Return all codes, the most frequent first. Raises StoreDown."""
    columns = [UNMAPPED_CODE.c[name] for name in UnmappedCode.__dataclass_fields__]
    query = sa.select(*columns).order_by(UNMAPPED_CODE.c.orders.desc(), UNMAPPED_CODE.c.id)
    return database.run(
        lambda connection: [
            UnmappedCode(**row) for row in connection.execute(query).mappings().all()
        ],
        reads=True,
    )
