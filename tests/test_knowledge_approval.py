"""`knowledge approve`: a site signs its copy, and runs it; what changes afterwards is refused."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from bundled import knowledge
from click.testing import CliRunner, Result
from http_service import ORDER_SELECT, hook_request
from served import Served, served

from cds_service.cli import main
from cds_service.errors import KnowledgeError
from cds_service.knowledge_export import export
from cds_service.knowledge_loading.loader import load_knowledge

pytestmark = pytest.mark.xdist_group("timed")

BY = 'A. "Bea" Doe: CDS committee'


def approve(folder: Path, *more: str) -> Result:
    words = ["knowledge", "approve", str(folder), "--by", BY, "--no-proofs", *more]
    return CliRunner().invoke(main, words)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return export("lumbar-mri", tmp_path / "hooks")


def reword(folder: Path, old: str, new: str) -> None:
    """Change the first such word in the wording of the cards."""
    file = folder / "cards.yaml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def test_an_approved_copy_names_who_when_and_what(copy: Path) -> None:
    answer = approve(copy, "--on", "2026-11-20")
    approval = load_knowledge(copy).approval

    assert 0 == answer.exit_code, answer.output
    assert ("approved", BY, "2026-11-20") == (approval.state, approval.by, approval.on)
    assert knowledge().digest == approval.digest
    assert knowledge().digest in answer.output


def test_nothing_but_the_approval_is_written(copy: Path) -> None:
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    approve(copy)
    after = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}

    assert [copy / "service.yaml"] == [p for p in after if before.get(p) != after[p]]
    assert before.keys() == after.keys()
    kept = re.sub(rb"approval:\n(  .*\n)+", b"", after[copy / "service.yaml"])
    assert kept == re.sub(rb"approval:\n(  .*\n)+", b"", before[copy / "service.yaml"])


def test_a_copy_that_changes_after_its_approval_is_refused_until_it_is_approved_again(
    copy: Path,
) -> None:
    approve(copy)
    reword(copy, 'summary: "', 'summary: "Please note. ')
    with pytest.raises(KnowledgeError, match="changed after it was approved"):
        load_knowledge(copy)

    assert 0 == approve(copy).exit_code
    assert knowledge().digest != load_knowledge(copy).digest


def test_what_fails_the_check_stays_a_draft(copy: Path) -> None:
    cases = copy / "cases"
    for file in cases.glob("*.yaml"):
        file.write_text(file.read_text("utf-8").replace("rule: S4a", "rule: S3", 1), "utf-8")
    answer = approve(copy)

    assert 2 == answer.exit_code
    assert "stays a draft" in answer.stderr
    assert "draft" == load_knowledge(copy).approval.state


@pytest.mark.parametrize("by", ["", "  ", "x\ny"])
def test_nobody_cannot_sign(copy: Path, by: str) -> None:
    answer = CliRunner().invoke(main, ["knowledge", "approve", str(copy), "--by", by])

    assert 2 == answer.exit_code
    assert "--by: name who approves" in answer.stderr


def test_a_folder_that_is_none_is_a_clear_error(tmp_path: Path) -> None:
    answer = approve(tmp_path)

    assert 2 == answer.exit_code
    assert "no knowledge folder" in answer.stderr


def eventually(server: Served, is_met: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """Wait until readiness says so; return its knowledge."""
    give_up = time.monotonic() + 30
    while True:
        answer = requests.get(f"{server.url}/health/ready", timeout=5).json()
        known: dict[str, str] = answer["knowledge"]
        if is_met(known) or time.monotonic() > give_up:
            return known
        time.sleep(0.1)


def test_sighup_takes_new_knowledge_up_and_refuses_a_faulty_one(copy: Path) -> None:
    """No call is dropped meanwhile, and the answer says which knowledge gave it."""
    approve(copy)
    settings = {"CDS_CLIENT_AUTH": "off", "CDS_HOOKS_PATH": str(copy.parent)}
    with served(settings, day="2026-03-16") as server:
        before = eventually(server, bool)
        reword(copy, 'summary: "', 'summary: "Please note. ')
        server.signal(signal.SIGHUP)
        assert "changed after it was approved" in str(
            server.wait_for("knowledge not reloaded")["reason"]
        )
        assert before == eventually(server, bool)

        approve(copy)
        server.signal(signal.SIGHUP)
        after = eventually(server, lambda known: known["digest"] != before["digest"])
        answers = [
            requests.post(server.url + ORDER_SELECT, json=hook_request(), timeout=10)
            for _ in range(10)
        ]

    assert "approved" == after["approval"]
    assert load_knowledge(copy).digest == after["digest"] != before["digest"]
    assert {200} == {answer.status_code for answer in answers}
