"""Habits that hold only because they are checked: import order, purity, documentation, files."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cds_service.cli import main
from cds_service.settings import DESCRIPTIONS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cds_service"
MODULE_MAP = PACKAGE / "README.md"
LONGEST_MODULE = 420

IMPURE = frozenset(
    {
        *("flask", "gunicorn", "http", "requests", "socket", "urllib.request", "urllib3"),
        *("asyncio", "concurrent", "multiprocessing", "subprocess", "threading"),
        *("logging", "os", "prometheus_client", "random", "secrets", "time"),
        *("uuid.uuid1", "uuid.uuid4"),
    }
)
"""Modules that bring the web, the environment, the clock or chance with them."""

OUTSIDE_THE_CLINICAL_PATH = frozenset({"settings"})
"""Between `fhir_dates` and `evaluate` in the table, but it reads the environment."""


def module_map() -> list[str]:
    """Return the module names of the table in cds_service/README.md, top to bottom."""
    rows = re.findall(r"^\| (`[^|]+) \|", MODULE_MAP.read_text("utf-8"), re.MULTILINE)
    return [
        name.removesuffix("/").removesuffix(".py")
        for row in rows
        for name in re.findall(r"`([^`]+)`", row)
    ]


def modules() -> dict[str, list[Path]]:
    """Return the files of each module; a sub-package with Python in it is one module."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        if parts not in {("__init__.py",), ("__main__.py",)}:
            found.setdefault(parts[0].removesuffix(".py"), []).append(path)
    return found


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def clinical_path() -> list[str]:
    """Return the modules that must be pure."""
    names = module_map()
    path = names[names.index("fhir_dates") : names.index("evaluate") + 1]
    return [name for name in path if name not in OUTSIDE_THE_CLINICAL_PATH]


def project_files() -> list[Path]:
    """Return what git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if (path := ROOT / name).is_file()]


def children(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield name, command


def commands(command: click.Command, name: str) -> Iterator[str]:
    """Yield every command as it is typed, groups opened."""
    if isinstance(command, click.Group):
        for child, inner in children(command):
            yield from commands(inner, f"{name} {child}")
    else:
        yield name


def test_module_map_lists_each_module_once_and_no_other() -> None:
    listed = module_map()

    assert set(modules()) == set(listed)
    assert len(set(listed)) == len(listed)


def test_imports_go_up_the_module_map_and_never_down() -> None:
    order = module_map()
    downward = [
        f"{path.relative_to(ROOT)} imports {name}"
        for module, paths in modules().items()
        for path in paths
        for name in imported(path)
        if name.startswith("cds_service.")
        and module in order
        and module != "cli"
        and (used := name.split(".")[1]) in order
        and used != module
        and order.index(used) > order.index(module)
    ]

    assert [] == downward


def test_clinical_path_has_no_web_environment_clock_or_chance() -> None:
    found = modules()
    impure = [
        f"{path.relative_to(ROOT)} imports {name}"
        for module in clinical_path()
        for path in found.get(module, [])
        for name in imported(path)
        if any(f"{name}.".startswith(f"{banned}.") for banned in IMPURE)
        or name.startswith("cds_service.settings")
    ]

    assert [] == impure


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_module_is_short_enough_to_have_one_reason(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")

    assert LONGEST_MODULE > lines


def test_hooks_hold_data_and_no_code() -> None:
    others = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if path.is_relative_to(ROOT / "hooks")
        and path.suffix not in {".yaml", ".json", ".csv", ".md"}
    ]

    assert [] == others


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    local = re.compile(
        rb"pypi\.org|pythonhosted\.org|registry\.npmjs|(?<![\w.:/-])/(?:work|farm|root|opt/pypi)/[a-z.]"
    )
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in project_files()
        if path != Path(__file__) and (match := local.search(path.read_bytes()))
    ]

    assert [] == found


def test_settings_table_of_the_readme_is_what_the_service_reads() -> None:
    table = re.findall(r"^\| `CDS_.*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)

    assert [f"| `{each.name}` | {each.default} | {each.says} |" for each in DESCRIPTIONS] == table


@pytest.mark.parametrize("page", ["README.md", "deploy/README.md"])
def test_page_names_no_setting_that_does_not_exist(page: str) -> None:
    named = set(re.findall(r"\bCDS_[A-Z_]*[A-Z]\b", (ROOT / page).read_text("utf-8")))

    assert set() == named - {each.name for each in DESCRIPTIONS}


@pytest.mark.parametrize("command", sorted(commands(main, "cds-service")))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert command in (ROOT / "README.md").read_text("utf-8")


def test_readme_shows_no_command_that_does_not_exist() -> None:
    known = set(commands(main, "cds-service"))
    shown = re.findall(r"cds-service((?: [a-z][a-z-]*)+)", (ROOT / "README.md").read_text("utf-8"))

    assert {} == {
        text: "no such command"
        for text in shown
        if not any(f"cds-service{text} ".startswith(f"{name} ") for name in known)
    }


def test_every_test_that_the_page_of_tests_names_exists() -> None:
    page = (ROOT / "tests" / "README.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", page))
    missing = [
        f"{file}::{test}"
        for file, test in sorted(named)
        if not (path := ROOT / "tests" / file).is_file()
        or f"def {test}" not in path.read_text("utf-8")
    ]

    assert len(named) > 40
    assert [] == missing
