"""`knowledge export`: a draft of the bundled knowledge that a site may edit."""

from pathlib import Path

import pytest
from bundled import knowledge
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.knowledge_comparison.comparison import compare
from cds_service.knowledge_export import export
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_review.check import check

FOLDER = Path(__file__).parent.parent / "hooks" / "lumbar-mri"


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["knowledge", "export", *arguments])


def test_copy_is_a_draft_and_keeps_every_comment(tmp_path: Path) -> None:
    original = (FOLDER / "service.yaml").read_text("utf-8")

    written = (export("lumbar-mri", tmp_path) / "service.yaml").read_text("utf-8")

    assert original.replace("  state: reference\n", "  state: draft\n") == written
    assert original != written


def test_copy_has_every_file(tmp_path: Path) -> None:
    target = export("lumbar-mri", tmp_path)

    names = [
        {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        for root in (FOLDER, target)
    ]

    assert names[0] == names[1]


def test_copy_checks_as_the_original_does(tmp_path: Path) -> None:
    copied = load_knowledge(export("lumbar-mri", tmp_path))

    assert "draft" == copied.approval.state
    assert knowledge().digest == copied.digest
    assert check(knowledge()).failures == check(copied).failures


def test_copy_differs_in_nothing_clinical(tmp_path: Path) -> None:
    copied = load_knowledge(export("lumbar-mri", tmp_path))

    assert compare(knowledge(), copied).is_same


def test_command_says_what_comes_next(tmp_path: Path) -> None:
    answer = _run(str(tmp_path / "hooks"))
    target = tmp_path / "hooks" / "lumbar-mri"

    assert 0 == answer.exit_code
    assert f"cds-service knowledge compare lumbar-mri {target}" in answer.stdout
    assert f"CDS_HOOKS_PATH={target.parent} cds-service knowledge check" in answer.stdout
    assert target.is_dir()


def test_existing_copy_is_never_overwritten(tmp_path: Path) -> None:
    _run(str(tmp_path))

    answer = _run(str(tmp_path))

    assert 2 == answer.exit_code
    assert "exists already and is not overwritten" in answer.stderr


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")

    answer = _run(str(tmp_path / "file" / "hooks"))

    assert 2 == answer.exit_code
    assert "cannot be written" in answer.stderr


def test_folder_that_is_not_bundled_is_bad_input(tmp_path: Path) -> None:
    answer = _run(str(tmp_path), "--id", "knee-mri")

    assert 2 == answer.exit_code
    assert "knee-mri: no bundled knowledge folder of this id" in answer.stderr


@pytest.mark.parametrize(
    "approval",
    ["approval: {state: reference}\n", "approval:\n  state: approved  # signed\n  by: X\n"],
)
def test_any_form_of_approval_becomes_a_draft(approval: str) -> None:
    from cds_service.knowledge_export import _as_draft  # noqa: PLC0415

    found = _as_draft(f"id: a\n{approval}\n# kept\nhooks: []\n".encode()).decode()

    assert "id: a\napproval:\n  state: draft\n\n# kept\nhooks: []\n" == found
