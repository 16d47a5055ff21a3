"""Runs the real service, under gunicorn, with the clock fixed to the day of the stories."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from cds_service.knowledge_loading.folders import find_folders
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.serving import ServingOptions, serve
from cds_service.settings import Settings


def main(bind: str, today: str, fhir_server: str, site_file: str) -> None:
    """Serve until terminated."""
    environ = {"CDS_CLIENT_AUTH": "off", "CDS_FHIR_SERVERS": fhir_server}
    if site_file:
        environ["CDS_SITE_FILE"] = str(Path(site_file))
    noon = datetime.fromisoformat(f"{today}T12:00:00").replace(tzinfo=UTC)
    serve(
        Settings.from_environ(environ),
        knowledge=load_knowledge(find_folders()[0].folder),
        options=ServingOptions(bind=bind, workers=1, threads=2),
        clock=lambda: noon,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
