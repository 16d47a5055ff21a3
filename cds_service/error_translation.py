"""What an error looks like from outside: status, stable code, a text without caller data, headers.

The one place where exceptions become answers (R-CALL-14).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from werkzeug.exceptions import HTTPException

from cds_service.errors import CdsError, ClientError, NotAuthenticated, Overloaded, Unavailable

_BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: ("malformed-request", "The request is malformed."),
    404: ("not-found", "There is nothing at this address."),
    405: ("method-not-allowed", "This address does not take this method; see Allow."),
    413: ("too-large", "The request is too large."),
}
"""HTTP errors that the web framework finds by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """One error, ready to be written as an OperationOutcome."""

    status: int
    code: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = False
    """The service failed; the caller can do nothing about it."""


def stable_codes() -> Mapping[int, frozenset[str]]:
    """Return every `details.coding.code` that a refusal may have, by HTTP status."""
    found = {status: {code} for status, (code, _) in _BY_STATUS.items()}
    waiting: list[type[CdsError]] = [ClientError, Overloaded, Unavailable]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.status, set()).add(kind.code)
        waiting.extend(kind.__subclasses__())
    return {status: frozenset(codes) for status, codes in sorted(found.items())}


def translate(error: Exception) -> ErrorAnswer:
    """Return the answer to any exception; what is not foreseen is a failure of our own."""
    if isinstance(error, ClientError | Overloaded | Unavailable):
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, NotAuthenticated) else {}
        if error.retry_after:
            headers["Retry-After"] = str(error.retry_after)
        return ErrorAnswer(status=error.status, code=error.code, text=str(error), headers=headers)
    status = error.code or 0 if isinstance(error, HTTPException) else 0
    if isinstance(error, HTTPException) and status in _BY_STATUS:
        code, text = _BY_STATUS[status]
        allow = {name: value for name, value in error.get_headers() if name == "Allow"}
        return ErrorAnswer(status=status, code=code, text=text, headers=allow)
    return ErrorAnswer(
        status=500,
        code="internal-error",
        text="The service failed. Nothing was judged.",
        is_ours=True,
    )
