"""Timelines written to files: one an order, the first where the user says."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cds_service.decision import Decision
from cds_service.errors import SettingsError
from cds_service.knowledge import Knowledge
from cds_service.timeline.drawing import timeline_svg


def write_timelines(
    path: Path, knowledge: Knowledge, decisions: Sequence[Decision]
) -> Iterator[Path]:
    """Write `out.svg`, then `out-2.svg` … for further orders; yield each once it is written.

    Raises SettingsError if there is no order to draw, or a file cannot be written.
    """
    if not decisions:
        message = f"{path} not written: no lumbar MRI order in this request"
        raise SettingsError(message)
    for number, decision in enumerate(decisions, start=1):
        target = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            target.write_text(timeline_svg(knowledge, decision), "utf-8")
        except OSError as error:
            message = f"{target} cannot be written: {error.strerror}"
            raise SettingsError(message) from None
        yield target
