"""Neither side's environment holds the other's dependencies, looked at from outside."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.child_process import scrubbed_environment

EnvironmentPython = Callable[[str], Path]

ADAPTER = "services/backend-adapter"
INDEXER = "services/indexer"

# What a backend must not take on with the adapter, under the names by which it is imported.
HEAVY = {
    "chromadb",
    "onnxruntime",
    "openvino",
    "numpy",
    "torch",
    "tokenizers",
    "grpc",
    "google.protobuf",
    # Its interface is an extra of the adapter, and in an environment with every extra; what exports is not.
    "opentelemetry.exporter",
    "opentelemetry.proto",
    "precedent_indexer",
}


def run(python: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an environment, in isolated mode: no user site, no PYTHON* variables, no current directory."""
    return subprocess.run(
        [python, "-I", "-c", program],
        env=scrubbed_environment({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded_by(python: Path, statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after `statement`."""
    done = run(python, f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", sorted(HEAVY))
def test_the_adapters_environment_cannot_import_the_indexers_side(
    environment_python: EnvironmentPython, module: str
) -> None:
    """Store, model runtimes, numbers and RPC are not merely unused there: they cannot be imported."""
    done = run(environment_python(ADAPTER), f"import {module}")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_the_adapters_environment_can_import_what_it_needs(environment_python: EnvironmentPython) -> None:
    """The refusals of the other test come from what is missing, not from a broken environment."""
    done = run(
        environment_python(ADAPTER), "import precedent_backend_adapter, precedent_schemas, nats, nkeys, pydantic"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["precedent_backend_adapter", "uagents", "cosmpy"])
def test_the_indexers_environment_cannot_import_the_backends_side(
    environment_python: EnvironmentPython, module: str
) -> None:
    """The indexer never installs the client, nor what backends use beside it."""
    done = run(environment_python(INDEXER), f"import {module}")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_the_indexers_environment_can_import_what_it_needs(environment_python: EnvironmentPython) -> None:
    """As above, for the other side."""
    done = run(environment_python(INDEXER), "import precedent_indexer, precedent_schemas, nats, chromadb, onnxruntime")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["precedent_indexer", "chromadb", "onnxruntime"])
def test_the_tests_environment_holds_no_indexer(module: str) -> None:
    """The tests talk to the indexer over the bus alone: what they could import, they might lean on."""
    with pytest.raises(ModuleNotFoundError):
        __import__(module)


@pytest.mark.parametrize("statement", ["import precedent_backend_adapter", "import precedent_backend_adapter.testing"])
def test_importing_the_adapter_loads_nothing_heavy(environment_python: EnvironmentPython, statement: str) -> None:
    """A fresh interpreter has loaded the client, pydantic and the NATS client, and none of the other side."""
    loaded = loaded_by(environment_python(ADAPTER), statement)
    assert {"precedent_backend_adapter", "precedent_schemas", "nats", "pydantic"} <= loaded
    assert not loaded & (HEAVY | {"opentelemetry", "typer", "rich", "pytest", "hypothesis"})


@pytest.mark.parametrize("project", ["schemas", ADAPTER, INDEXER])
def test_importing_the_schemas_loads_neither_transport_nor_store(
    environment_python: EnvironmentPython, project: str
) -> None:
    """In every environment, the contract itself brings pydantic and nothing of either side."""
    loaded = loaded_by(environment_python(project), "import precedent_schemas, precedent_schemas.catalogue")
    assert not loaded & (HEAVY | {"opentelemetry", "nats", "precedent_backend_adapter"})


@pytest.mark.parametrize(
    ("project", "module"), [(ADAPTER, "precedent_backend_adapter"), (INDEXER, "precedent_indexer")]
)
def test_importing_a_service_has_no_effect(
    environment_python: EnvironmentPython, tmp_path: Path, project: str, module: str
) -> None:
    """An import prints nothing, writes no file and starts no thread."""
    program = (
        f"import os, threading; os.chdir({str(tmp_path)!r}); import {module}; "
        "assert threading.active_count() == 1, threading.enumerate()"
    )
    done = run(environment_python(project), program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
