"""Emergencies with more in them than before, and nothing less: resources, members, texts, drafts.

They must stay emergencies (design, proof 2, seen from outside).
"""

import json
import string
from typing import Any

from hypothesis import strategies as st

from fuzzing.corpus import clinical_texts, emergencies, resources
from fuzzing.sent import Sent
from fuzzing.values import ODD, TEXTS, Draw, copied


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
    junk = copied(draw(ODD))
    if not keys:
        return "nowhere to add it"
    key = draw(st.sampled_from(keys))
    request["prefetch"][key]["entry"].append(junk)
    return f"add entry {junk!r:.80} to {key}"


def _add_member(draw: Draw, request: dict[str, Any], _number: int) -> str:
    """Add a member that no reader knows, or that says nothing of the patient's state."""
    holders = [e["resource"] for e in _entries(request) if isinstance(e.get("resource"), dict)]
    name = draw(
        st.sampled_from(_MEANINGLESS)
        | st.text(string.ascii_lowercase, max_size=3).map("x-{}".format)
    )
    value = copied(draw(ODD))
    if not holders:
        return "nowhere to add it"
    target = draw(st.sampled_from(holders))
    target.setdefault(name, value)
    return f"add member {name} {value!r:.80} to {target.get('resourceType')}"


def _add_text(draw: Draw, request: dict[str, Any], _number: int) -> str:
    """Add a note of its own to a draft: what a clinician might write beside the rest."""
    drafts = [e["resource"] for e in request["context"]["draftOrders"]["entry"]]
    text = draw(st.sampled_from(clinical_texts()) | TEXTS)
    target = draw(st.sampled_from(drafts))
    element = draw(st.sampled_from(["note", "reasonCode", "orderDetail"]))
    if isinstance(target.setdefault(element, []), list):
        target[element].append({"text": text})
    return f"add {element} {text!r:.120}"


def _add_order(draw: Draw, request: dict[str, Any], number: int) -> str:
    """Add another draft, one of another story as often as not a lumbar MRI too."""
    drafts = [r for r in resources() if r.get("intent") is not None and r.get("status") == "draft"]
    resource = copied(draw(st.sampled_from(drafts)))
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
    return [
        e for entries in lists if isinstance(entries, list) for e in entries if isinstance(e, dict)
    ]


def _holds(bundle: object, kind: object) -> bool:
    entries = bundle.get("entry") if isinstance(bundle, dict) else None
    return isinstance(entries, list) and any(
        isinstance(e, dict)
        and isinstance(e.get("resource"), dict)
        and e["resource"].get("resourceType") == kind
        for e in entries
    )


def _bare(patient: object) -> str:
    return str(patient).rpartition("/")[2]
