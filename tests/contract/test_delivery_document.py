"""The tests that the page on delivery names exist, and every fault test is named there or proves something else."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "delivery.md"
NAMED = re.findall(r"`([\w/-]+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))
PUBLISHER = {"test_publisher.py", "test_outbox.py"}
"""What the publisher promises is told in its own documents."""


def functions_of(path: Path) -> set[str]:
    """Names of a module's test functions."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {one.name for one in ast.walk(tree) if isinstance(one, functions) and one.name.startswith("test_")}


@pytest.mark.parametrize(("module", "name"), sorted(set(NAMED)), ids=str)
def test_a_named_test_exists(module: str, name: str) -> None:
    """A promise whose test was renamed or removed would stand there unproven."""
    path = REPOSITORY / module if module.startswith("services/") else REPOSITORY / "tests" / module
    assert name in functions_of(path)


def test_every_row_names_its_test() -> None:
    """No line of the two tables promises something that nothing proves."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    promises = [row for row in rows if "---" not in row and not row.endswith("| test |")]
    assert promises
    assert [row for row in promises if "::" not in row] == []


def test_every_fault_test_of_the_indexer_is_named() -> None:
    """A fault that is tested is one that an operator can read about."""
    modules = [path for path in (REPOSITORY / "tests" / "faults").glob("test_*.py") if path.name not in PUBLISHER]
    tested = {name for path in modules for name in functions_of(path)}
    assert tested - {name for _, name in NAMED} == set()
