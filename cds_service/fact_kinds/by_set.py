"""Which records may say something of a value set: most records of a chart speak of none.

Every fact would else ask every record, which is what a call with a large chart would cost.
What is returned may say nothing after all; what is left out could not have said anything.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from cds_service.fact_kinds.evidence import value_words
from cds_service.records import Chart, Condition, Observation, Record
from cds_service.terminology import Terminology

_R = TypeVar("_R", bound=Record)


@dataclass(frozen=True, slots=True)
class _Index:
    records: Sequence[Record]
    places: Mapping[str, Sequence[int]]
    """Value set → places of the records that may name it."""


@dataclass(slots=True)
class RecordsBySet:
    """Indexes of the records of a chart, each made when it is first asked; they die with the call.

    A fact may look at a part of the chart only, which is another tuple with another index.
    """

    _made: dict[int, _Index] = field(default_factory=dict)

    def conditions(
        self, chart: Chart, terminology: Terminology, set_ids: Iterable[str]
    ) -> list[Condition]:
        """Return the conditions that may say something of one of the sets, in their order."""
        index = self._index(chart.conditions, terminology.may_be_of)
        return _at(index, chart.conditions, set_ids)

    def observations(
        self, chart: Chart, terminology: Terminology, set_ids: Iterable[str]
    ) -> list[Observation]:
        """Return the observations that may say something of one of the sets, in their order.

        By name, coded value, notes, the value in words, or name and value together.
        """
        index = self._index(chart.observations, partial(_sets_of_observation, terminology))
        return _at(index, chart.observations, set_ids)

    def _index(self, records: Sequence[_R], sets_of: Callable[[_R], frozenset[str]]) -> _Index:
        # The index holds its records: no other tuple can come to lie at the same address.
        index = self._made.get(id(records))
        if index is None:
            index = self._made[id(records)] = _Index(records, _places(map(sets_of, records)))
        return index


def _sets_of_observation(terminology: Terminology, observation: Observation) -> frozenset[str]:
    value = observation.value.concept
    words = value_words(observation)
    named = (f"{label} {words}" for label in (observation.concept.label, observation.exam_label))
    texts = {words, *named, *observation.notes}
    return terminology.may_be_of(observation).union(
        *(terminology.may_name(text) for text in texts if text),
        value.sets if value is not None else (),
    )


def _places(named: Iterable[frozenset[str]]) -> Mapping[str, Sequence[int]]:
    places: dict[str, list[int]] = {}
    for place, sets in enumerate(named):
        for set_id in sets:
            places.setdefault(set_id, []).append(place)
    return places


def _at(index: _Index, records: Sequence[_R], set_ids: Iterable[str]) -> list[_R]:
    found = {place for set_id in set_ids for place in index.places.get(set_id, ())}
    return [records[place] for place in sorted(found)]
