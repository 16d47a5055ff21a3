"""The closed set of ways in which a fact is read; `facts.yaml` names them with parameters.

Each kind is a frozen dataclass whose fields are its parameters. A new kind of question needs
a new class here; a new fact made of existing kinds needs no Python.
"""

from cds_service.fact_kinds.reading import FactKind, ReadingContext

__all__ = ["FactKind", "ReadingContext"]
