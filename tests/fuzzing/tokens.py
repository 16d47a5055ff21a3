"""Client tokens that are almost good: odd headers and claims, and texts changed after signing."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_tokens import AUDIENCE, claims, ec_key, header, signed
from http_service import KNEE_MRI, ORDER_SELECT, hook_request
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from fuzzing.harness import LogCheck, Tally, call, closed_app
from fuzzing.odd_values import CANARY
from fuzzing.oracle import check_refusal
from fuzzing.values import ODD

_HEADER = ("alg", "typ", "kid", "jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "cty", CANARY)
_CLAIMS = ("iss", "aud", "iat", "exp", "jti", "nbf", "sub", "tenant", CANARY)
_PIECES = (
    *("", ".", "..", "=", "==", " ", ",", "A", "AAAA", "\x00", "\xff", "-", "_", "+", "/"),
    *("e30", "bnVsbA", "W10", "MQ", "eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"),
)
_BODY = json.dumps(hook_request(KNEE_MRI)).encode()


@dataclass(frozen=True, slots=True)
class AlmostGood:
    """What becomes of a good token: members changed before it is signed, text after it."""

    header: dict[str, Any]
    claims: dict[str, Any]
    edits: list[tuple[int, int, str]]
    """Place in per mille of the text, characters taken out, text put in."""

    def compact(self) -> tuple[str, bool]:
        """Return a new token, for each counts once, and whether it stands as it was signed."""
        text = signed(json.dumps(header() | self.header), json.dumps(claims() | self.claims))
        edited = text
        for per_mille, taken, put in self.edits:
            at = len(edited) * per_mille // 1000
            edited = edited[:at] + put + edited[at + taken :]
        return edited, edited == text


_almost_good = st.builds(
    AlmostGood,
    st.dictionaries(st.sampled_from(_HEADER), ODD, max_size=2),
    st.dictionaries(st.sampled_from(_CLAIMS), st.just(AUDIENCE) | ODD, max_size=2),
    st.lists(
        st.tuples(st.integers(0, 1000), st.sampled_from([0, 1, 2, 40]), st.sampled_from(_PIECES)),
        max_size=2,
    ),
)


def run_tokens(
    chosen: settings, tally: Tally, log: LogCheck, *, store: Path, start: int = 0
) -> None:
    """Send tokens to a service that keeps those it has seen in the file `store`."""
    tally.engine = "tokens"
    app = tally.counting(closed_app(store))
    ec_key()

    @seed(start)
    @chosen
    @given(_almost_good)
    def each(almost: AlmostGood) -> None:
        compact, is_whole = almost.compact()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {compact}"}
        answer = call(app, "POST", ORDER_SELECT, headers.items(), _BODY)
        if answer.status_code == 200:
            assert is_whole, "a token that was changed after signing was taken"
            assert not {"alg", "kid", "typ"} & almost.header.keys(), "an odd header was taken"
        else:
            assert answer.status_code == 401, f"status {answer.status_code}"
            check_refusal(answer)
        assert CANARY not in str(answer.headers)
        assert not log.problems, log.problems.pop()

    each()
