"""Strategies for requests: real ones changed in structure, in bytes, in headers, or only added to.

Every change says what it did, so that a failing example can be read.
"""

import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import strategies as st

from fuzzing.corpus import (
    Path_,
    Seed,
    clinical_texts,
    emergencies,
    fragments,
    resources,
    seeds,
)
from fuzzing.odd_values import (
    CANARY,
    DATES,
    ENCODINGS,
    HEADER_NAMES,
    HEADER_VALUES,
    IDS,
    LONG,
    METHODS,
    NUMBERS,
    PATHS,
    PIECES,
    STRINGS,
)

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
Container: TypeAlias = dict[str, Any] | list[Any]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sent:
    """One request as it goes out."""

    seed: Seed
    body: bytes
    changes: tuple[str, ...]
    """What was done to the seed, in order."""
    method: str = "POST"
    path: str = ""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    only_added: bool = False
    """Nothing that stood in the seed was changed or taken away."""

    def __repr__(self) -> str:
        """Say what was done to which seed."""
        parts = [f"{self.method} {self.path[:200]!r} {self.headers!r:.400}", repr(self.seed)]
        return "\n    ".join((*parts, *self.changes))

    def _repr_pretty_(self, printer: Any, _is_cyclic: bool) -> None:  # noqa: ANN401, FBT001
        """Let hypothesis show the same."""
        printer.text(repr(self))


_strings = st.one_of(
    st.sampled_from(STRINGS),
    st.sampled_from(LONG),
    st.text(max_size=30),
    st.sampled_from(DATES),
    st.sampled_from(IDS),
    st.sampled_from(clinical_texts()),
    # Half a pair: JSON can spell what UTF-8 cannot.
    st.characters(categories=("Cs",)),
)
_scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.integers(), _strings,
    st.floats(allow_nan=False, allow_infinity=False),
)
_odd = st.one_of(
    _scalars,
    _scalars,
    st.recursive(
        _scalars,
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(fragments())) | st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from([[], {}, [[]], [{}], [None], {"": None}, {"reference": ""}, {"coding": [{}]}]),
)
_names = st.one_of(st.sampled_from(sorted(fragments())), st.sampled_from(
    ["extension", "modifierExtension", "contained", "_status", "resourceType", "id", "", "__proto__", CANARY]
))


@st.composite
def changed_in_structure(draw: Draw) -> Sent:
    """A real request with one to five nodes replaced, deleted, moved, doubled or added."""
    seed = draw(st.sampled_from(seeds()))
    request = seed.request()
    changes = [
        draw(st.sampled_from(_STRUCTURAL))(draw, seed, request)
        for _ in range(draw(st.integers(1, 5)))
    ]
    return Sent(seed=seed, body=json.dumps(request).encode(), changes=tuple(changes))


def _place(draw: Draw, seed: Seed) -> Path_:
    chosen: Path_ = draw(st.sampled_from(seed.near if draw(st.booleans()) else seed.far))
    return chosen


def _holder(request: dict[str, Any], path: Path_) -> tuple[Container, str | int] | None:
    """Return what holds the node at `path`, and its key there; None if it is gone."""
    node: Any = request
    for step in path[:-1]:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    last = path[-1]
    is_there = (isinstance(node, dict) and last in node) or (
        isinstance(node, list) and isinstance(last, int) and last < len(node)
    )
    return (node, last) if is_there else None


def _replace(draw: Draw, seed: Seed, request: dict[str, Any]) -> str:
    path = _place(draw, seed)
    found = _holder(request, path)
    if found is None:
        return "nothing to replace"
    node, last = found
    node[last] = value = draw(_odd)  # type: ignore[index]  # a key of this very node
    return f"replace {_shown(path)} by {value!r:.80}"


def _recombine(draw: Draw, seed: Seed, request: dict[str, Any]) -> str:
    """Put what stands under the same name somewhere else in its place."""
    path = _place(draw, seed)
    found = _holder(request, path)
    name = next((s for s in reversed(path) if isinstance(s, str)), "")
    if found is None or name not in fragments():
        return "nothing to recombine"
    node, last = found
    value = draw(st.sampled_from(fragments()[name]))
    node[last] = value = json.loads(json.dumps(value))  # type: ignore[index]  # as above
    return f"recombine {_shown(path)} with {json.dumps(value)[:120]}"


def _delete(draw: Draw, seed: Seed, request: dict[str, Any]) -> str:
    path = _place(draw, seed)
    found = _holder(request, path)
    if found is None:
        return "nothing to delete"
    node, last = found
    del node[last]  # type: ignore[arg-type]  # as above
    return f"delete {_shown(path)}"


def _double(draw: Draw, seed: Seed, request: dict[str, Any]) -> str:
    path = _place(draw, seed)
    found = _holder(request, path)
    if found is None:
        return "nothing to double"
    node, last = found
    times = draw(st.sampled_from([1, 2, 60]))
    if isinstance(node, list):
        assert isinstance(last, int)
        node[last:last] = [node[last]] * times
        return f"double {_shown(path)} {times} times"
    name = draw(_names)
    node[name] = node[str(last)]
    return f"copy {_shown(path)} to member {name!r}"


def _move(draw: Draw, seed: Seed, request: dict[str, Any]) -> str:
    """Swap two nodes, unless one holds the other."""
    one, other = _place(draw, seed), _place(draw, seed)
    shorter = min(len(one), len(other))
    first, second = _holder(request, one), _holder(request, other)
    if first is None or second is None or one[:shorter] == other[:shorter]:
        return "nothing to move"
    (node, last), (target, there) = first, second
    node[last], target[there] = target[there], node[last]  # type: ignore[index]  # as above
    return f"swap {_shown(one)} and {_shown(other)}"


def _retype(draw: Draw, seed: Seed, request: dict[str, Any]) -> str:
    path = _place(draw, seed)
    found = _holder(request, path)
    if found is None:
        return "nothing to retype"
    node, last = found
    how = draw(st.sampled_from(sorted(_OTHER_TYPES)))
    node[last] = _OTHER_TYPES[how](node[last])  # type: ignore[index]  # as above
    return f"{how} {_shown(path)}"


def _insert(draw: Draw, seed: Seed, request: dict[str, Any]) -> str:
    path = _place(draw, seed)
    found = _holder(request, path)
    name = draw(_names)
    known = fragments().get(name)
    value = draw(st.sampled_from(known)) if known and draw(st.booleans()) else draw(_odd)
    if found is None:
        return "nowhere to insert"
    node, last = found
    inside = node[last]  # type: ignore[index]  # as above
    target = inside if isinstance(inside, dict) else node
    value = json.loads(json.dumps(value))
    if isinstance(target, dict):
        target[name] = value
    else:
        target.append(value)
    return f"insert {name!r} at {_shown(path)}: {value!r:.80}"


def _lengthen(draw: Draw, seed: Seed, request: dict[str, Any]) -> str:
    """Put odd text before or after what a string says."""
    path = _place(draw, seed)
    found = _holder(request, path)
    extra = draw(_strings)
    if found is None:
        return "nothing to lengthen"
    node, last = found
    said = node[last]  # type: ignore[index]  # as above
    if not isinstance(said, str):
        return "nothing to lengthen"
    node[last] = said + extra if draw(st.booleans()) else extra + said  # type: ignore[index]  # as above
    return f"lengthen {_shown(path)} by {extra!r:.80}"


_STRUCTURAL = (_replace, _replace, _recombine, _recombine, _delete, _double, _move, _retype, _insert,
               _lengthen)  # fmt: skip

_OTHER_TYPES: dict[str, Callable[[Any], Any]] = {
    "wrap in an array": lambda value: [value],
    "wrap in two arrays": lambda value: [[value]],
    "wrap as text": lambda value: {"text": value},
    "wrap as value": lambda value: {"value": value},
    "wrap as concept": lambda value: {"concept": value},
    "unwrap": lambda value: value[0] if isinstance(value, list) and value else value,
    "make a string of": lambda value: json.dumps(value),
    "make an object of": lambda value: {str(n): v for n, v in enumerate(value)}
    if isinstance(value, list) else {},
    "count": lambda value: len(value) if isinstance(value, str | list | dict) else 0,
    "negate": lambda value: not value,
    "wrap 60 deep": lambda value: _nested(value, 60),
    "wrap 250 deep": lambda value: _nested(value, 250),
}


def _nested(value: object, depth: int) -> object:
    for _ in range(depth):
        value = [value]
    return value


def _shown(path: Path_) -> str:
    return ".".join(map(str, path))


@st.composite
def changed_in_bytes(draw: Draw) -> Sent:
    """A real body with bits flipped, pieces cut out, put in, doubled, or encoded otherwise."""
    seed = draw(st.sampled_from(seeds()))
    body = seed.body
    changes = []
    for _ in range(draw(st.integers(1, 4))):
        change = draw(st.sampled_from(_BYTE_CHANGES))
        body, said = change(draw, body)
        changes.append(said)
    return Sent(seed=seed, body=body, changes=tuple(changes))


def _spot(draw: Draw, body: bytes) -> int:
    at: int = draw(st.integers(0, max(len(body) - 1, 0)))
    return at


def _flip(draw: Draw, body: bytes) -> tuple[bytes, str]:
    if not body:
        return body, "nothing to flip"
    at, bit = _spot(draw, body), draw(st.integers(0, 7))
    return body[:at] + bytes([body[at] ^ (1 << bit)]) + body[at + 1 :], f"flip bit {bit} of {at}"


def _overwrite(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at, piece = _spot(draw, body), draw(st.sampled_from(PIECES))
    return body[:at] + piece + body[at + len(piece) :], f"write {piece[:30]!r} over {at}"


def _put_in(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at, piece = _spot(draw, body), draw(st.sampled_from(PIECES))
    return body[:at] + piece + body[at:], f"put {piece[:30]!r} at {at}"


def _put_a_value(draw: Draw, body: bytes) -> tuple[bytes, str]:
    """Put a piece where a value begins, so that it is read as one."""
    at = body.find(b":", _spot(draw, body)) + 1
    piece = draw(st.sampled_from(PIECES))
    end = min((e for e in (body.find(b",", at), body.find(b"}", at)) if e > 0), default=at)
    return body[:at] + piece + body[end:], f"value {piece[:30]!r} at {at}"


def _put_a_member(draw: Draw, body: bytes) -> tuple[bytes, str]:
    """Put a piece at the start of an object."""
    at = body.find(b"{", _spot(draw, body)) + 1
    piece = draw(st.sampled_from(PIECES))
    return body[:at] + piece + body[at:], f"member {piece[:30]!r} at {at}"


def _cut_out(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at, length = _spot(draw, body), draw(st.sampled_from([1, 2, 7, 100, 5_000]))
    return body[:at] + body[at + length :], f"cut {length} at {at}"


def _cut_off(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at = _spot(draw, body)
    return body[:at], f"cut off at {at}"


def _repeat(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at, length = _spot(draw, body), draw(st.sampled_from([1, 2, 7, 100, 5_000]))
    return body[: at + length] + body[at:], f"repeat {length} at {at}"


def _splice(draw: Draw, body: bytes) -> tuple[bytes, str]:
    other = draw(st.sampled_from(seeds())).body
    at, there = _spot(draw, body), _spot(draw, other)
    return body[:at] + other[there:], f"splice at {at} with {there}"


def _encode(draw: Draw, body: bytes) -> tuple[bytes, str]:
    encoding = draw(st.sampled_from(ENCODINGS))
    return body.decode("utf-8", "replace").encode(encoding), f"encode as {encoding}"


def _any_bytes(draw: Draw, _body: bytes) -> tuple[bytes, str]:
    return draw(st.binary(max_size=200)), "any bytes"


_BYTE_CHANGES: tuple[Callable[[Draw, bytes], tuple[bytes, str]], ...] = (
    *(_flip, _overwrite, _put_in, _put_a_value, _put_a_value, _put_a_member, _put_a_member, _cut_out),
    *(_cut_off, _repeat, _splice, _encode, _any_bytes),
)


@st.composite
def changed_in_headers(draw: Draw) -> Sent:
    """A real body to any address by any method, with headers that mean something else."""
    seed = draw(st.sampled_from(seeds()))
    own = f"/cds-services/{seed.service}"
    path = draw(st.sampled_from((own, own, own, f"{own}/feedback", *PATHS)) | _paths)
    method = draw(st.sampled_from(("POST", "POST", "POST", *METHODS)))
    headers = [("Content-Type", "application/json")] if draw(st.booleans()) else []
    headers += draw(
        st.lists(st.tuples(st.sampled_from(HEADER_NAMES), _header_values), max_size=4)
    )
    is_feedback = path.endswith("/feedback")
    body = draw(_feedback_bodies) if is_feedback else seed.body
    return Sent(
        seed=seed, body=body, changes=(), method=method, path=path, headers=tuple(headers)
    )


_latin = st.characters(codec="latin-1", exclude_characters="\r\n")
_header_values = st.sampled_from(HEADER_VALUES) | st.text(_latin, max_size=20)
_paths = st.text(_latin, max_size=30).map(lambda text: f"/{text}")

_feedback_entries = st.fixed_dictionaries(
    {
        "card": st.one_of(st.uuids().map(str), _strings),
        "outcome": st.sampled_from(["accepted", "overridden", "overriden", None]),
        "outcomeTimestamp": st.one_of(
            st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"), st.sampled_from(DATES)
        ),
    },
    optional={
        "acceptedSuggestions": _odd | st.lists(st.fixed_dictionaries({"id": _strings}), max_size=3),
        "overrideReason": _odd | st.fixed_dictionaries({"reason": _odd, "userComment": _strings}),
        "overrideReasons": _odd | st.lists(st.fixed_dictionaries({"reason": _odd}), max_size=3),
        "extension": _odd,
    },
)
_feedback_bodies = st.one_of(
    st.lists(_feedback_entries, max_size=4).map(lambda all_: {"feedback": all_}), _odd
).map(lambda body: json.dumps(body).encode())


@st.composite
def only_added_to(draw: Draw) -> Sent:
    """An emergency with more in it than before: resources, members without meaning, texts."""
    seed = draw(st.sampled_from(emergencies()))
    request = seed.request()
    changes = [
        draw(st.sampled_from(_ADDING))(draw, request, number)
        for number in range(draw(st.integers(1, 4)))
    ]
    return Sent(
        seed=seed, body=json.dumps(request).encode(), changes=tuple(changes), only_added=True
    )


def _add_resource(draw: Draw, request: dict[str, Any], number: int) -> str:
    """Add a record of another story, as this patient's and under an id of its own."""
    resource = json.loads(json.dumps(draw(st.sampled_from(resources()))))
    kind = resource.get("resourceType")
    keys = [k for k, v in request["prefetch"].items() if _holds(v, kind)]
    if not keys or kind == "Patient":
        return "nowhere to add it"
    resource["id"] = f"added-{number}"
    patient = {"reference": f"Patient/{_bare(request['context']['patientId'])}"}
    resource |= {key: patient for key in ("subject", "patient") if key in resource}
    request["prefetch"][keys[0]].setdefault("entry", []).append({"resource": resource})
    return f"add {json.dumps(resource)[:400]}"


def _add_junk_resource(draw: Draw, request: dict[str, Any], _number: int) -> str:
    """Add anything at all as an entry."""
    keys = [k for k, v in request["prefetch"].items() if isinstance(v, dict) and "entry" in v]
    junk = draw(_odd)
    if not keys:
        return "nowhere to add it"
    key = draw(st.sampled_from(keys))
    request["prefetch"][key]["entry"].append(junk)
    return f"add entry {junk!r:.80} to {key}"


def _add_member(draw: Draw, request: dict[str, Any], _number: int) -> str:
    """Add a member that no reader knows, or that says nothing of the patient's state."""
    resources_ = [e["resource"] for e in _entries(request) if isinstance(e.get("resource"), dict)]
    name = draw(st.sampled_from(_MEANINGLESS) | st.text(string.ascii_lowercase, max_size=3).map("x-{}".format))
    value = draw(_odd)
    if not resources_:
        return "nowhere to add it"
    target = draw(st.sampled_from(resources_))
    target.setdefault(name, value)
    return f"add member {name} {value!r:.80} to {target.get('resourceType')}"


def _add_text(draw: Draw, request: dict[str, Any], _number: int) -> str:
    """Add a note of its own to a draft: what a clinician might write beside the rest."""
    drafts = [e["resource"] for e in request["context"]["draftOrders"]["entry"]]
    text = draw(st.sampled_from(clinical_texts()) | _strings)
    target = draw(st.sampled_from(drafts))
    element = draw(st.sampled_from(["note", "reasonCode", "orderDetail"]))
    if isinstance(target.setdefault(element, []), list):
        target[element].append({"text": text})
    return f"add {element} {text!r:.120}"


def _add_order(draw: Draw, request: dict[str, Any], number: int) -> str:
    """Add another draft, one of another story as often as not a lumbar MRI too."""
    drafts = [r for r in resources() if r.get("intent") is not None and r.get("status") == "draft"]
    resource = json.loads(json.dumps(draw(st.sampled_from(drafts))))
    resource["id"] = f"draft-added-{number}"
    resource["subject"] = {"reference": f"Patient/{_bare(request['context']['patientId'])}"}
    resource.pop("identifier", None)
    request["context"]["draftOrders"]["entry"].append({"resource": resource})
    if isinstance(request["context"].get("selections"), list) and draw(st.booleans()):
        request["context"]["selections"].append(f"{resource['resourceType']}/{resource['id']}")
    return f"add draft {json.dumps(resource)[:400]}"


_ADDING = (_add_resource, _add_resource, _add_junk_resource, _add_member, _add_text, _add_order)
_MEANINGLESS = ("extension", "modifierExtension", "language", "implicitRules", "_id", "contained")


def _entries(request: dict[str, Any]) -> list[dict[str, Any]]:
    bundles = [request["context"]["draftOrders"], *request["prefetch"].values()]
    lists = [b.get("entry") for b in bundles if isinstance(b, dict)]
    return [e for entries in lists if isinstance(entries, list) for e in entries if isinstance(e, dict)]


def _holds(bundle: object, kind: object) -> bool:
    entries = bundle.get("entry") if isinstance(bundle, dict) else None
    return isinstance(entries, list) and any(
        isinstance(e, dict) and isinstance(e.get("resource"), dict) and e["resource"].get("resourceType") == kind
        for e in entries
    )


def _bare(patient: object) -> str:
    return str(patient).rpartition("/")[2]
