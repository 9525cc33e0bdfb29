"""A backend of the old days, in its own environment beside cosmpy and uagents, against the real thing."""

import asyncio
import json
import math
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.child_process import scrubbed_environment
from harness.nats_server import NatsServer
from harness.stack import NewIndexer

OLD_BACKEND = Path(__file__).resolve().parents[1] / "compat" / "old_backend.py"
SECONDS = 90
BRUTE_FORCE = "User attempted to log into the admin account over 5000 times within 30 seconds"


@pytest.fixture
async def old_backend(
    server: NatsServer, new_indexer: NewIndexer, environment_python: Callable[[str], Path]
) -> dict[str, Any]:
    """What the old backend saw, run against a stack of its own."""
    python = environment_python("tests/compat")
    async with new_indexer():
        done = await asyncio.to_thread(_run, python, server.url)
    assert done.returncode == 0, done.stderr
    # Connections that were left behind would complain here.
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _run(python: Path, nats_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-I", OLD_BACKEND],
        env=scrubbed_environment({"NATS_URL": nats_url, "PRECEDENT_COMPAT_ALLOW_CLEAR": "1"}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


async def test_a_backend_of_the_old_days_changes_one_import(old_backend: dict[str, Any]) -> None:
    """Add, query, rules, stats, delete and clear give what they gave, odd values and several loops included."""
    _check_environment(old_backend)
    _check_items(old_backend["class"])
    _check_odd_items(old_backend["class"])
    _check_rules(old_backend["class"])
    _check_functions(old_backend)


def _check_environment(report: dict[str, Any]) -> None:
    """The agent libraries work in the same process, and nothing of the indexer's is installed there."""
    assert set(report["beside"]) == {"cosmpy", "uagents", "protobuf"}
    assert report["wallet"].startswith("fetch1")
    assert report["not_here"] == []


def _check_items(seen: dict[str, Any]) -> None:
    ids = seen["ids"]
    assert seen["stats_before"] == {"total_items": 0, "collection_name": "incidents"}
    (found,) = seen["found_at_once"]
    timestamp = datetime.fromisoformat(found["metadata"].pop("timestamp"))
    assert abs(datetime.now(UTC).replace(tzinfo=None) - timestamp).total_seconds() < 3600
    assert found["score"] == pytest.approx(0.0, abs=0.01)
    assert {key: value for key, value in found.items() if key != "score"} == {
        "id": ids["first"],
        "text": BRUTE_FORCE,
        "metadata": {"user": "user_001", "ip": "192.168.1.24", "severity": 5, "rule": "r1", "path": "['a', 'b']"},
    }
    assert list(seen["items"]) == [ids[name] for name in ("first", "twin", "odd", "empty")]
    assert seen["stats"] == {"total_items": 4, "collection_name": "incidents"}
    assert {item["id"] for item in seen["query"]} == {ids["first"], ids["twin"]}
    assert all(0 < item["score"] < 2 for item in seen["query"])
    assert seen["deleted"] == [True, False]
    assert seen["after_delete"] == [ids[name] for name in ("first", "odd", "empty")]
    assert seen["cleared"] is True
    assert seen["stats_after"] == {"total_items": 0, "collection_name": "incidents"}


def _check_odd_items(seen: dict[str, Any]) -> None:
    odd, empty = (seen["items"][seen["ids"][name]] for name in ("odd", "empty"))
    assert seen["odd_text_is_whole"] is True
    assert seen["odd_is_found"] is True
    assert (odd["user"], odd["ip"], odd["severity"]) == ("", "printer-7", 9)
    assert (odd["odd key!"], odd["big"], odd[""]) == (math.inf, 2**70, "")
    assert (empty["user"], empty["ip"], empty["severity"]) == ("u" * 300, "", 0)
    assert {f"key-{number}": number for number in range(80)}.items() <= empty.items()


def _check_rules(seen: dict[str, Any]) -> None:
    block = {
        "id": seen["block"],
        "original_text": "lock them out",
        "refined_text": "Lock the account after 100 failed logins",
        "category": "auth",
        "severity": "high",
        "timestamp": "2025-10-25T12:00:00",
    }
    assert seen["rules"][0] == block
    assert [rule["category"] for rule in seen["rules"]] == ["auth", "network"]
    assert set(seen["rules"][1]) == set(block)
    (found,) = seen["rules_found"]
    assert found.pop("similarity_score") > 0
    assert found == block
    assert [rule["category"] for rule in seen["rules_of_network"]] == ["network"]
    assert seen["rules_deleted"] == [True, False]
    assert seen["rules_left"] == 1


def _check_functions(report: dict[str, Any]) -> None:
    seen = report["functions"]
    assert seen["stats"] == {"total_items": 3, "collection_name": "incidents"}
    assert len(set(seen["all"])) == 3
    assert seen["default_k"] == 3
    (nearest,) = seen["nearest"]
    assert (nearest["metadata"]["user"], nearest["metadata"]["ip"]) == ("john_doe", "203.0.113.12")
    assert report["clearing"] == {"cleared": True, "stats": {"total_items": 0, "collection_name": "incidents"}}
