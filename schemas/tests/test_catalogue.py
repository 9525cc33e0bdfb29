"""The table of questions: what the service shows of itself."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from precedent_schemas import catalogue
from precedent_schemas.catalogue import BY_NAME, ENDPOINTS, Endpoint

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: str(endpoint.name))

SUBJECTS = {
    "search": "security.index.v1.*.search",
    "recurrence": "security.index.v1.*.recurrence",
    "get": "security.index.v1.*.get",
    "list": "security.index.v1.*.list",
    "delete": "security.index.v1.*.delete",
    "clear": "security.index.v1.*.clear",
    "collection-stats": "security.index.v1.*.stats",
    "stats": "security.index.v1.stats",
    "rebuild": "security.index.v1.rebuild",
    "verify": "security.index.v1.verify",
    "dead-list": "security.deadletters.v1.list",
    "dead-get": "security.deadletters.v1.get",
    "dead-replay": "security.deadletters.v1.replay",
    "dead-drop": "security.deadletters.v1.drop",
}


def test_names_and_subjects() -> None:
    """Callers and the service agree on these, so they are spelled out once more here."""
    assert {endpoint.name: endpoint.subject for endpoint in ENDPOINTS} == SUBJECTS
    assert {name: endpoint.subject for name, endpoint in BY_NAME.items()} == SUBJECTS


def test_names_and_subjects_are_unique() -> None:
    """No endpoint hides another."""
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    assert len({endpoint.subject for endpoint in ENDPOINTS}) == len(ENDPOINTS)


@each_endpoint
def test_endpoint_is_well_formed(endpoint: Endpoint) -> None:
    """The name is legal in a NATS service, the verb ends the subject, and the description is a sentence."""
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", endpoint.name)
    assert endpoint.subject.endswith(f".{endpoint.verb}")
    assert endpoint.per_collection is (endpoint.subject.count("*") == 1)
    assert endpoint.description.endswith(".")


@each_endpoint
def test_metadata_is_strings_of_json_schema(endpoint: Endpoint) -> None:
    """A service's metadata are strings, and two of them are JSON Schemas that describe the question."""
    metadata = endpoint.metadata()
    assert set(metadata) == {"description", "request_schema", "reply_schema"}
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata["description"] == endpoint.description
    for part, model in (("request_schema", endpoint.request), ("reply_schema", endpoint.reply)):
        schema: dict[str, Any] = json.loads(metadata[part])
        Draft202012Validator.check_schema(schema)
        assert schema["title"] == model.__name__
        assert set(schema.get("properties", {})) == set(model.model_fields)


def test_info_fits_a_reply() -> None:
    """All metadata together stay far below the server's default max_payload of 1 MiB, so that INFO answers."""
    assert sum(len(json.dumps(endpoint.metadata())) for endpoint in ENDPOINTS) < 128 * 1024


@each_endpoint
def test_requests_refuse_and_replies_ignore_unknown_fields(endpoint: Endpoint) -> None:
    """Strict towards callers, whose misspelling would widen an answer; lenient towards newer services."""
    assert catalogue.request_schema(endpoint.request)["additionalProperties"] is False
    assert "additionalProperties" not in catalogue.reply_schema(endpoint.reply)
    assert endpoint.reply.model_config.get("extra") == "ignore"


@each_endpoint
def test_answers_from_the_index_say_what_they_cover(endpoint: Endpoint) -> None:
    """Every answer that reads the index carries how much of the log it stands on."""
    required = set(catalogue.reply_schema(endpoint.reply)["required"])
    reads = endpoint.name in {"search", "recurrence", "get", "list", "collection-stats", "stats"}
    assert ({"indexed_seq", "stream_seq", "model"} <= required) is reads
