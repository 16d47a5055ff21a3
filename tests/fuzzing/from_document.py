"""The engine that reads the OpenAPI document: schemathesis, valid and invalid data.

Its checks hold every answer against the document: status, media type, headers, body.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import schemathesis
from bundled import knowledge
from client_tokens import PUBLIC_URL, bearer, token
from hypothesis import given, seed, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from cds_service.openapi.document import document
from fuzzing.harness import LogCheck, Tally, closed_app

if TYPE_CHECKING:
    from schemathesis.specs.openapi.schemas import OpenApiSchema

MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
# A body that meets the schema may still be about a day that is none, or name nothing that can
# be read.
_ACCEPTED = ["2xx", "400", "412", "413"]
_REFUSED = ["400", "401", "403", "404", "405", "412", "413", "415"]


class FreshToken:
    """A good client token of its own for every request: each counts once."""

    def get(self, case: Any, _context: object) -> str:  # noqa: ANN401  # schemathesis' own
        """Return a token for the address of the case."""
        return token(aud=PUBLIC_URL + case.path)

    def set(self, case: Any, data: str, _context: object) -> None:  # noqa: ANN401  # as above
        """Put it into the case."""
        case.headers.update(bearer(data))


@cache
def schema() -> "OpenApiSchema":
    """Return the document as schemathesis reads it."""
    config = SchemathesisConfig.from_dict(
        {
            "checks": {
                "positive_data_acceptance": {"expected-statuses": _ACCEPTED},
                "negative_data_rejection": {"expected-statuses": _REFUSED},
                # It would ask three times for one; `test_openapi.py` asks once for each.
                "ignored_auth": {"enabled": False},
            }
        }
    )
    read = schemathesis.openapi.from_dict(document(knowledge()), config=config)
    read.auth(refresh_interval=None)(FreshToken)
    return read


def run_document(
    chosen: settings, tally: Tally, log: LogCheck, *, store: Path, start: int = 0
) -> None:
    """Send examples to every operation of the document, valid ones and others.

    `store` is the file in which the service keeps the tokens that it has seen.
    """
    read = schema()
    read.app = tally.counting(closed_app(store))
    for operation in [result.ok() for result in read.get_all_operations()]:  # type: ignore[union-attr]  # raises if it is not
        # Nothing of a request without body and parameters could be invalid.
        for mode in MODES if operation.body else MODES[:1]:
            tally.engine = f"document {mode.value}"

            @seed(start)
            @chosen
            @given(operation.as_strategy(generation_mode=mode))
            def each(case: Any) -> None:  # noqa: ANN401  # as above
                case.call_and_validate()
                assert not log.problems, log.problems.pop()

            each()
