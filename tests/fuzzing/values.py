"""Strategies for single values: odd ones, real ones, and real ones in the wrong place."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from fuzzing.corpus import clinical_texts, fragments
from fuzzing.odd_values import CANARY, DATES, IDS, LONG, NUMBERS, STRINGS

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]


def copied(value: Any) -> Any:  # noqa: ANN401  # JSON
    """Return a copy that may be changed: what a strategy draws from is shared by all examples."""
    return json.loads(json.dumps(value))


TEXTS = st.one_of(
    st.sampled_from(STRINGS),
    st.sampled_from(LONG),
    st.text(max_size=30),
    st.sampled_from(DATES),
    st.sampled_from(IDS),
    st.sampled_from(clinical_texts()),
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.integers(),
    TEXTS,
    st.floats(allow_nan=False, allow_infinity=False),
)
ODD = st.one_of(
    _scalars,
    _scalars,
    st.recursive(
        _scalars,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(sorted(fragments())) | st.text(max_size=5), inner, max_size=3
            )
        ),
        max_leaves=6,
    ),
    st.sampled_from([[], {}, [[]], [{}], [None], {"": None}, {"reference": ""}, {"coding": [{}]}]),
)
NAMES = st.one_of(
    st.sampled_from(sorted(fragments())),
    st.sampled_from(
        [
            "extension",
            "modifierExtension",
            "contained",
            "_status",
            "resourceType",
            "id",
            "",
            "__proto__",
            CANARY,
        ]
    ),
)
