"""The page on security: every threat names what proves that it is stopped, and every proof there is, is named."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "security.md"
SECURITY = REPOSITORY / "tests" / "security"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = [row for row in TEXT.partition("## Threats")[2].partition("## Limits")[0].splitlines() if row.startswith("| ")]
THREATS = [row for row in ROWS if "---" not in row and not row.startswith("| attacker | attack")]
PROOFS = {row: row.strip("| ").rpartition(" | ")[2] for row in THREATS}


def links(text: str) -> set[Path]:
    """Files and folders that a text links to."""
    return {(PAGE.parent / target).resolve() for target in re.findall(r"\]\(([^)#:]+)\)", text)}


def cases(text: str) -> set[str]:
    """Files of hostile cases that a text names."""
    return {
        name for part in re.findall(r"hostile cases ((?:`\w+`(?:, )?)+)", text) for name in re.findall(r"\w+", part)
    }


def has_tests(path: Path) -> bool:
    """Whether there is a test in a file, or in a folder."""
    if path.is_dir():
        return any(has_tests(one) for one in path.glob("test_*.py"))
    return re.search(r"^(async )?def test_", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


@pytest.mark.parametrize("row", THREATS, ids=range(len(THREATS)))
def test_a_threat_names_its_proof(row: str) -> None:
    """The last cell links to tests, or names files of hostile cases; all of them are there."""
    proof = PROOFS[row]
    proofs = links(proof) | {SECURITY / "hostile" / "cases" / f"{name}.yaml" for name in cases(proof)}
    assert [path for path in proofs if not path.exists()] == []
    assert cases(proof) or any(has_tests(path) for path in links(proof)), proof


def test_every_security_test_is_named() -> None:
    """What is tested can be read about; nothing is proven and then forgotten."""
    named = links(TEXT)
    assert [path.name for path in SECURITY.glob("test_*.py") if path not in named] == []
    assert {path.stem for path in (SECURITY / "hostile" / "cases").iterdir()} >= cases(TEXT) > set()
    assert [path for path in named if not path.exists()] == []
