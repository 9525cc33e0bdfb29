"""The AsyncAPI document holds together and leaves nothing out."""

import re
from collections.abc import Iterator
from typing import Any

import export
import pytest
import yaml

from precedent_schemas.catalogue import ENDPOINTS, Endpoint
from precedent_schemas.streams import STREAM_CONFIGS


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The committed document."""
    loaded: dict[str, Any] = yaml.safe_load((export.SCHEMAS / "asyncapi.yaml").read_text("utf-8"))
    return loaded


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for below in value.values():
            yield from _references(below)
    elif isinstance(value, list):
        for below in value:
            yield from _references(below)


def _resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for token in reference.removeprefix("#/").split("/"):
        found = found[token]
    return found


def test_version_and_parts(document: dict[str, Any]) -> None:
    """It says which AsyncAPI it is, what it describes and in which version."""
    assert document["asyncapi"] == "3.0.0"
    assert document["info"]["title"] == "Precedent"
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["info"]["version"])


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    """Inner references lead to a place of the document, outer ones to a committed file."""
    references = set(_references(document))
    assert references
    for reference in references:
        if reference.startswith("#/"):
            assert isinstance(_resolve(document, reference), dict), reference
        else:
            assert (export.SCHEMAS / reference).is_file(), reference


def test_every_schema_is_used(document: dict[str, Any]) -> None:
    """Each message on the bus has a payload by reference; only the dead letter's is bytes as they were."""
    outer = {reference for reference in _references(document) if not reference.startswith("#/")}
    assert outer == {f"./json/{name}.schema.json" for name in export.MESSAGES if name != "dead-letter"}
    assert set(document["components"]["messages"]) == set(export.MESSAGES)


def test_operations_stay_within_their_channel(document: dict[str, Any]) -> None:
    """An operation's channel exists, and its messages, also those of the reply, are messages of that channel."""
    for name, operation in document["operations"].items():
        assert operation["action"] in {"send", "receive"}, name
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            assert channel.removeprefix("#/channels/") in document["channels"], name
            assert part["messages"], name
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in part["messages"]), name


def test_parameters_are_those_of_the_address(document: dict[str, Any]) -> None:
    """Every parameter in braces is declared and described, and none beside them."""
    for name, channel in document["channels"].items():
        in_address = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
        assert in_address == set(channel.get("parameters", {})), name
        for reference in channel.get("parameters", {}).values():
            assert _resolve(document, reference["$ref"])["description"]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: str(endpoint.name))
def test_endpoint_is_a_request_with_a_reply(document: dict[str, Any], endpoint: Endpoint) -> None:
    """Each endpoint of the catalogue is an operation with its subject, its request, its reply and the error."""
    operation = document["operations"][endpoint.name]
    channel = _resolve(document, operation["channel"]["$ref"])
    assert operation["action"] == "receive"
    assert channel["address"] == endpoint.subject.replace("*", "{collection}")
    assert operation["summary"] == endpoint.description
    assert [message["$ref"].rpartition("/")[2] for message in operation["messages"]] == [f"{endpoint.name}-request"]
    replies = [message["$ref"].rpartition("/")[2] for message in operation["reply"]["messages"]]
    assert replies == [f"{endpoint.name}-reply", "error"]
    assert _resolve(document, operation["reply"]["channel"]["$ref"])["address"] is None


def test_log_channels_are_the_streams_subjects(document: dict[str, Any]) -> None:
    """The channels beside the questions are those that the streams keep, each under the stream's subject."""
    addresses = {name: document["channels"][name]["address"] for name in ("events", "outcomes", "deletions")}
    subjects = [subject for config in STREAM_CONFIGS for subject in config["subjects"]]
    addresses["dead-letters"] = document["channels"]["dead-letters"]["address"]
    prefixes = [address.partition("{")[0] for address in addresses.values()]
    assert prefixes == [subject.rstrip("*>") for subject in subjects]


def test_headers_are_described(document: dict[str, Any]) -> None:
    """Publishers read of Nats-Msg-Id and trace context, readers of dead letters of every Precedent header."""
    messages = document["components"]["messages"]
    assert set(messages["event"]["headers"]["properties"]) == {"Nats-Msg-Id", "traceparent", "tracestate"}
    assert "required" not in messages["event"]["headers"]
    assert set(messages["dead-letter"]["headers"]["required"]) == {
        "Nats-Msg-Id",
        "Precedent-Reason",
        "Precedent-Detail",
        "Precedent-Stream-Seq",
        "Precedent-Subject",
        "Precedent-Deliveries",
        "Precedent-Headers",
    }
    assert set(messages["error"]["headers"]["required"]) == {"Nats-Service-Error-Code", "Nats-Service-Error"}
    for message in messages.values():
        for header in message.get("headers", {}).get("properties", {}).values():
            assert header["description"]
