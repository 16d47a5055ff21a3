"""The JSON Schemas of `schemas/` (draft 2020-12), compiled once, and what to say of a breach.

A problem names the place and what is expected there. It never repeats a value: requests hold
patient data.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeGuard

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_KIND_NAMES = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


class Schema:
    """One compiled schema."""

    def __init__(self, name: str) -> None:
        """Compile `schemas/<name>.json`."""
        self._validator = Draft202012Validator(_SCHEMAS[name], registry=_REGISTRY)

    def problem(self, instance: object, *, at: str = "") -> str | None:
        """Return the first problem as one sentence, or None when the schema is met.

        `at` is the path of the instance in the whole body, for example `context`.
        """
        error = next(self._validator.iter_errors(instance), None)
        return None if error is None else _sentence(error, at)

    def problems(self, instance: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield every problem with its path, for files of our own users rather than requests."""
        for error in self._validator.iter_errors(instance):
            yield tuple(error.absolute_path), _sentence(error, "")


def schema_content(name: str) -> dict[str, Any]:
    """Return a copy of `schemas/<name>.json` as it stands, for documents that quote it."""
    return copy.deepcopy(_SCHEMAS[name])


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[object]]:
    """Tell whether a JSON value is an array."""
    return isinstance(value, list)


def _sentence(error: "ValidationError", at: str) -> str:
    place = _path_text(at, error.absolute_path)
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    expected = schema.get(str(error.validator))
    match error.validator:
        case "required":
            missing = next(n for n in _listed(expected) if n not in _member_names(error.instance))
            return f"{_path_text(place, [missing])} is missing."
        case "const" | "enum":
            return f"{place} must be {' or '.join(_listed(expected))}."
        case "minLength" | "minItems":
            return f"{place} must not be empty."
        case "maxLength":
            return f"{place} must not have more than {expected} characters."
        case "maxItems":
            return f"{place} must not have more than {expected} entries."
        case "additionalProperties":
            known = _member_names(schema["properties"])
            unknown = ", ".join(k for k in _member_names(error.instance) if k not in known)
            return f"{place or 'The file'} has unknown keys: {unknown}; known: {', '.join(known)}."
        case "type":
            kinds = " or ".join(_KIND_NAMES[k] for k in _listed(expected))
            return f"{place or 'The body'} must be {kinds}."
        case _:
            return f"{place} must be {schema.get('description', 'as its schema says')}."


def _path_text(at: str, path: Iterable[str | int]) -> str:
    text = at
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def _listed(value: object) -> list[str]:
    """Return the words of a keyword that holds one or several."""
    return [str(v) for v in value] if is_array(value) else [str(value)]


def _member_names(value: object) -> list[str]:
    return list(value) if is_object(value) else []


def _read_schemas() -> dict[str, dict[str, Any]]:
    folder = resources.files("cds_service") / "schemas"
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".json")
    }


_SCHEMAS = _read_schemas()
_REGISTRY: "Registry[bool | Mapping[str, Any]]" = Registry().with_resources(
    (str(s["$id"]), Resource.from_contents(s)) for s in _SCHEMAS.values()
)
