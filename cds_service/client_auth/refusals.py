"""Why a call is refused: for the log and a metric, never for the caller (R-SEC-14)."""

from enum import StrEnum

from cds_service.errors import CdsError, NotAllowed, NotAuthenticated, Unavailable

_BARE = "This call needs a valid client token."


class Reason(StrEnum):
    """The closed set of reasons; each is a value of the metric `cds_client_refusals_total`."""

    NO_TOKEN = "no-token"  # noqa: S105  # a word for the log
    NOT_ONE_TOKEN = "not-one-bearer-token"  # noqa: S105  # a word for the log
    MALFORMED = "malformed"
    HEADER = "header"
    ALGORITHM = "algorithm"
    ISSUER = "issuer"
    SUBJECT = "subject"
    JKU = "jku"
    NO_KEYS = "no-keys"
    UNKNOWN_KEY = "unknown-key"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    LIFETIME = "lifetime"
    TENANT = "tenant"
    REPLAY = "replay"
    CERTIFICATE = "certificate"
    SERVICE = "service"
    STORE_DOWN = "store-down"


def refusal(reason: Reason, client_id: str = "") -> CdsError:
    """Return the error to raise: 403 for a known client, 503 for our own fault, else a bare 401."""
    match reason:
        case Reason.SERVICE:
            return NotAllowed(
                "This client may not call this service.", reason=reason.value, client=client_id
            )
        case Reason.STORE_DOWN:
            return Unavailable(
                "Client tokens cannot be checked just now; call again.",
                reason=reason.value,
                client=client_id,
            )
        case _:
            return NotAuthenticated(_BARE, reason=reason.value, client=client_id)
