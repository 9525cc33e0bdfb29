"""What a backend takes on with this package: its public names, and what importing it loads."""

import json
import subprocess
import sys

import precedent_backend_adapter
from precedent_backend_adapter import PrecedentError, errors

PUBLIC = [
    "INCIDENTS",
    "QUOTED_DATA_NOTE",
    "RULES",
    "Backoff",
    "Bucket",
    "ClearReply",
    "CollectionStatsReply",
    "Config",
    "Conflict",
    "Credentials",
    "DeadDropReply",
    "DeadGetReply",
    "DeadLetter",
    "DeadReplayReply",
    "DeleteReply",
    "DeliveryUnknown",
    "Entry",
    "FieldProblem",
    "Filter",
    "GetReply",
    "Hit",
    "IndexerFailed",
    "ListReply",
    "Misconfigured",
    "NotDelivered",
    "NotDeliveredReason",
    "NotDeliveredYet",
    "NotFound",
    "NotIndexedYet",
    "NotPermitted",
    "NotTrusted",
    "Order",
    "OutboxConfig",
    "OutboxStatus",
    "OutboxUnavailable",
    "Outcome",
    "Overloaded",
    "Precedent",
    "PrecedentClient",
    "PrecedentError",
    "ProtocolError",
    "Publication",
    "PublishProgress",
    "PublishReport",
    "Receipt",
    "RecurrenceReply",
    "Refused",
    "SearchReply",
    "SecurityEvent",
    "SeverityRange",
    "StatsReply",
    "StoredEvent",
    "TimeRange",
    "Timeouts",
    "Tls",
    "TooLarge",
    "Unavailable",
    "Verdict",
    "as_quoted_data",
]

HEAVY = {
    "chromadb",
    "numpy",
    "onnxruntime",
    "openvino",
    "tokenizers",
    "torch",
    "grpc",
    "google.protobuf",
    "opentelemetry",
    "precedent_indexer",
    "typer",
    "rich",
    "pytest",
}


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after `statement`."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True, timeout=60)
    return set(json.loads(done.stdout))


def test_the_public_names_are_these() -> None:
    """A name that appears or disappears is a decision, not an accident."""
    assert sorted(precedent_backend_adapter.__all__) == sorted(PUBLIC)
    assert all(hasattr(precedent_backend_adapter, name) for name in PUBLIC)


def test_every_exception_is_public() -> None:
    """Whatever this package raises can be caught by a name that it exports."""
    raised = {
        name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, PrecedentError)
    }
    assert raised <= set(precedent_backend_adapter.__all__)


def test_importing_it_loads_nothing_heavy() -> None:
    """A backend gets the NATS client, pydantic and no store, model, RPC or command-line library."""
    assert not loaded_by("import precedent_backend_adapter") & HEAVY


def test_the_synchronous_client_is_loaded_by_those_who_use_it_alone() -> None:
    """A backend with an event loop needs none of it; and with it comes nothing heavy."""
    loaded = loaded_by("import precedent_backend_adapter")
    assert not {name for name in loaded if name.startswith("precedent_backend_adapter.sync")}
    assert not loaded_by("import precedent_backend_adapter.sync") & HEAVY


def test_sqlite_is_loaded_by_those_who_have_an_outbox_alone() -> None:
    """Neither the package nor its configuration of an outbox needs a database; only opening one does."""
    assert "sqlite3" not in loaded_by(
        "import precedent_backend_adapter as p; p.Config(outbox=p.OutboxConfig(path='x'))"
    )
    assert "sqlite3" not in loaded_by("import precedent_backend_adapter.testing")
    assert "sqlite3" in loaded_by("import precedent_backend_adapter._outbox")


def test_the_in_memory_client_is_not_loaded_in_production() -> None:
    """What serves tests is imported by tests alone."""
    loaded = loaded_by("import precedent_backend_adapter")
    assert "precedent_backend_adapter.testing" not in loaded
    assert not loaded_by("import precedent_backend_adapter.testing") & HEAVY


def test_the_old_client_is_loaded_by_those_who_use_it_alone() -> None:
    """Nothing of it is there for a new backend; and with it comes nothing heavy."""
    loaded = loaded_by("import precedent_backend_adapter")
    assert not {name for name in loaded if name.startswith("precedent_backend_adapter.compat")}
    assert "precedent_backend_adapter.config.environment" not in loaded
    assert not loaded_by("import precedent_backend_adapter.compat") & HEAVY
