"""The exception tree.

Each is raised where the fault is known and translated once, in `routes.py` or `cli.py`.

CdsError
├── ClientError              4xx: the caller can mend it
│   ├── MalformedRequest     400  not JSON, wrong shape, wrong hook
│   ├── NotAuthenticated     401  no client token, or a bad one
│   ├── NotAllowed           403  known client, not for this
│   ├── UnknownService       404
│   ├── EvidenceUnavailable  412  neither Patient nor Condition data can be had
│   ├── TooLarge             413  bytes, entries or depth
│   ├── WrongMediaType       415
│   └── TooManyRequests      429
├── Overloaded               503
├── Unavailable              503  what the service needs is down
├── KnowledgeError           a knowledge folder that is not perfectly well formed
└── SettingsError            an environment or site file that cannot be used
"""

from collections.abc import Sequence


class CdsError(Exception):
    """Anything this service raises on purpose. The text never holds patient data."""

    status = 500
    code = "internal-error"

    def __init__(
        self, text: str = "", *, reason: str = "", client: str = "", retry_after: int = 0
    ) -> None:
        """Keep the text for the caller; `reason` and the id of the client are for the log only.

        `retry_after` is in seconds; 0 says nothing of when to come again.
        """
        super().__init__(text)
        self.reason = reason
        self.client = client
        self.retry_after = retry_after


class ClientError(CdsError):
    """The request cannot be served as it is; the text says what to change."""

    status = 400
    code = "malformed-request"


class MalformedRequest(ClientError):
    """The body is not the JSON that the hook requires."""


class NotAuthenticated(ClientError):
    """The caller did not prove which CDS Client it is."""

    status = 401
    code = "not-authenticated"


class NotAllowed(ClientError):
    """A known client asked for something that is not open to it."""

    status = 403
    code = "not-allowed"


class UnknownService(ClientError):
    """No service with that id."""

    status = 404
    code = "unknown-service"


class EvidenceUnavailable(ClientError):
    """Neither Patient nor Condition data could be had (CDS Hooks: 412)."""

    status = 412
    code = "evidence-unavailable"


class TooLarge(ClientError):
    """More bytes, entries or nesting than the service accepts."""

    status = 413
    code = "too-large"


class WrongMediaType(ClientError):
    """The body is not labelled as JSON."""

    status = 415
    code = "unsupported-media-type"


class TooManyRequests(ClientError):
    """The client has used up what it may send for now."""

    status = 429
    code = "too-many-requests"


class Overloaded(CdsError):
    """The call cannot be answered in time: too many others are before it."""

    status = 503
    code = "overloaded"


class Unavailable(CdsError):
    """Something that the service needs is down for now; the call may come again."""

    status = 503
    code = "unavailable"


class KnowledgeError(CdsError):
    """A knowledge folder has problems; each reads `file:line: key: what is wrong`."""

    code = "knowledge-invalid"

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep all problems, so that an author mends them in one round."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class SettingsError(CdsError):
    """A setting is missing, unknown or out of range; the text names it and the fix."""

    code = "settings-invalid"
