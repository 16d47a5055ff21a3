"""The switch file: followed within a second, never guessed at."""

from pathlib import Path

import pytest

from cds_service.mode_switch import ModeSwitch
from cds_service.modes import Mode


class Seconds:
    """A clock that the test moves."""

    def __init__(self) -> None:
        """Start at an arbitrary moment."""
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_without_a_switch_file_the_configured_mode_stays() -> None:
    assert Mode.SILENT is ModeSwitch(Mode.SILENT, None).current()


def test_a_missing_switch_file_means_the_configured_mode(tmp_path: Path) -> None:
    assert Mode.LIVE is ModeSwitch(Mode.LIVE, tmp_path / "switch").current()


@pytest.mark.parametrize("word", ["off", "OFF\n", " silent ", "live"])
def test_the_file_overrides_the_configured_mode(tmp_path: Path, word: str) -> None:
    file = tmp_path / "switch"
    file.write_text(word)

    assert Mode(word.strip().lower()) is ModeSwitch(Mode.SILENT, file).current()


def test_a_change_takes_effect_within_a_second_and_removal_too(tmp_path: Path) -> None:
    file = tmp_path / "switch"
    seconds = Seconds()
    switch = ModeSwitch(Mode.LIVE, file, seconds=seconds)
    seen = [switch.current()]
    file.write_text("off")
    seconds.now += 0.9
    seen.append(switch.current())
    seconds.now += 0.1
    seen.append(switch.current())
    file.unlink()
    seconds.now += 1.0
    seen.append(switch.current())

    assert [Mode.LIVE, Mode.LIVE, Mode.OFF, Mode.LIVE] == seen


@pytest.mark.parametrize("content", [b"", b"disable", b"\xff\xfe", b"off" * 1000])
def test_an_unknown_word_changes_nothing_and_is_reported(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "switch"
    seconds = Seconds()
    file.write_text("silent")
    switch = ModeSwitch(Mode.LIVE, file, seconds=seconds)
    before = switch.current()
    file.write_bytes(content)
    seconds.now += 1

    assert Mode.SILENT is before
    assert Mode.SILENT is switch.current()
    assert "none of live, silent, off" in switch.problem


def test_a_switch_file_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    switch = ModeSwitch(Mode.SILENT, tmp_path)

    assert Mode.SILENT is switch.current()
    assert "cannot be read" in switch.problem
