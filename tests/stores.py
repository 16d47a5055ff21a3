"""How a test reads a table; the fixtures are in `conftest.py`."""

from collections.abc import Callable
from typing import TypeAlias

import sqlalchemy as sa

Rows: TypeAlias = Callable[[sa.Table], list[dict[str, object]]]
"""Returns the rows of a table as it is now."""
