"""What the service says of itself is what the committed documents say."""

import json
from typing import TYPE_CHECKING, Any

from harness.wire import Wire

if TYPE_CHECKING:
    from contract.conftest import Documents


async def endpoints(wire: Wire) -> dict[str, dict[str, Any]]:
    """The endpoints of the running service by name."""
    return {one["name"]: one for one in (await wire.ask("$SRV.INFO.indexer"))["endpoints"]}


async def test_every_documented_question_is_served(wire: Wire, documents: "Documents") -> None:
    """The service has an endpoint for each operation that has a reply, and no other."""
    documented = {name for name, one in documents.asyncapi["operations"].items() if "reply" in one}
    assert set(await endpoints(wire)) == documented


async def test_subjects_and_descriptions_are_those_of_the_document(wire: Wire, documents: "Documents") -> None:
    """INFO and AsyncAPI agree on each endpoint's address, queue group and sentence."""
    for name, endpoint in (await endpoints(wire)).items():
        channel = documents.asyncapi["channels"][name]
        operation = documents.asyncapi["operations"][name]
        assert endpoint["subject"] == channel["address"].replace("{collection}", "*")
        assert endpoint["metadata"]["description"] == channel["description"] == operation["summary"]
        assert endpoint["queue_group"] == operation["bindings"]["nats"]["queue"]


async def test_schemas_in_the_metadata_are_the_committed_ones(wire: Wire, documents: "Documents") -> None:
    """Who reads INFO gets the schemas of the repository, without their dialect and name."""
    for name, endpoint in (await endpoints(wire)).items():
        for way in ("request", "reply"):
            committed = dict(documents.schemas[f"{name}-{way}"])
            del committed["$schema"], committed["$id"]
            assert json.loads(endpoint["metadata"][f"{way}_schema"]) == committed, f"{name} {way}"


def test_every_message_of_the_document_has_its_schema(documents: "Documents") -> None:
    """No message points at a schema file that is not there, and no schema is without a message."""
    messages = documents.asyncapi["components"]["messages"]
    payloads = {name: one["payload"]["schema"]["$ref"] for name, one in messages.items() if "payload" in one}
    assert payloads == {name: f"./json/{name}.schema.json" for name in payloads}
    # A dead letter's own payload is that of the original; its schema describes it as the verbs show it.
    assert messages.keys() - payloads.keys() == {"dead-letter"}
    assert messages.keys() == documents.schemas.keys()
