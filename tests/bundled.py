"""The bundled knowledge, loaded once for all tests."""

from functools import cache

from cds_service.knowledge import Knowledge
from cds_service.knowledge_loading.folders import find_folders
from cds_service.knowledge_loading.loader import load_knowledge


@cache
def knowledge() -> Knowledge:
    """Return the knowledge of the only bundled folder."""
    (found,) = find_folders()
    return load_knowledge(found.folder)
