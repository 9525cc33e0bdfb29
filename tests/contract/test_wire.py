"""Real replies, dead letters and errors against the committed JSON Schemas; committed examples against the service."""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.stack import NewIndexer
from harness.waits import eventually
from harness.wire import Wire

if TYPE_CHECKING:
    from contract.conftest import Documents

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples" / "v1"
FULL: dict[str, Any] = {
    "kind": "auth.brute_force",
    "occurred_at": "2026-01-31T13:00:00.5+01:00",
    "severity": 4,
    "source": "sshd",
    "user": "admin",
    "ip": "2001:db8::1",
    "attributes": {"port": 22, "ratio": 1.5, "tor": True, "tags": ["x"], "none": []},
}

# Name of the endpoint, and a request whose reply has everything in it.
READS: list[tuple[str, dict[str, Any] | None]] = [
    ("search", {"text": "failed login", "k": 10}),
    ("search", {"id": "full", "filter": {"severity": {"max": 1}}}),
    ("search", {"text": "failed login", "min_similarity": 1}),
    ("recurrence", {"text": "failed login", "bucket": "minute"}),
    ("recurrence", {"text": "nothing of the kind", "min_similarity": 1}),
    ("get", {"ids": ["full", "bare", "nobody"]}),
    ("list", None),
    ("list", {"limit": 1}),
    ("collection-stats", None),
    ("stats", None),
    ("delete", {"ids": ["full", "nobody"]}),
    ("clear", {}),
]


def examples(prefix: str) -> list[str]:
    """Names of the committed examples of one message."""
    found = [path.name.removesuffix(".json") for path in sorted(EXAMPLES.glob(f"{prefix}*.json"))]
    assert found, f"no example {prefix} in {EXAMPLES}"
    return found


def example(name: str) -> Any:
    """One committed example."""
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


async def filled(wire: Wire, collection: str) -> None:
    """One event with every field and an outcome, and one with the text alone."""
    await wire.event(collection, "failed login for admin", id="full", **FULL)
    await wire.event(collection, "failed login", id="bare")
    fields = {"mitigation": "block ip", "note": "tor", "by": "ana", "decided_at": "2026-02-01T00:00:00Z"}
    await wire.covered(await wire.outcome(collection, "full", "true_positive", **fields))


@pytest.mark.parametrize(("name", "request_body"), READS)
async def test_every_reply_is_as_its_schema_says(
    wire: Wire, documents: "Documents", collection: str, name: str, request_body: dict[str, Any] | None
) -> None:
    """What a verb really answers passes the schema that callers generate their code from; so does what was asked."""
    await filled(wire, collection)
    if name == "clear":
        request_body = {"confirm": collection}
    address = documents.asyncapi["channels"][name]["address"].replace("{collection}", collection)
    documents.check(request_body or {}, f"{name}-request")
    documents.check(await wire.ask(address, request_body), f"{name}-reply")


@pytest.mark.parametrize(
    ("verb", "request_body"),
    [
        ("search", {"text": "x", "k": 0, "typo": 1}),
        ("search", {"id": "nobody"}),
        ("search", {"text": "x", "min_seq": 2**62, "wait_ms": 0}),
        ("get", b"not json"),
    ],
)
async def test_every_error_is_as_its_schema_says(
    wire: Wire, documents: "Documents", collection: str, verb: str, request_body: object
) -> None:
    """Errors of several codes pass the one schema of errors."""
    await filled(wire, collection)
    reply, _ = await wire.request(f"security.index.v1.{collection}.{verb}", request_body)
    documents.check(reply, "error")


async def test_an_unknown_collections_error_is_as_its_schema_says(wire: Wire, documents: "Documents") -> None:
    """Also where nothing else is known."""
    reply, _ = await wire.request("security.index.v1.no-such-collection.stats")
    documents.check(reply, "error")


@pytest.mark.parametrize("name", examples("event."))
async def test_every_example_event_can_be_published_and_found(
    wire: Wire, documents: "Documents", collection: str, name: str
) -> None:
    """What the examples show is what the service takes: whole, under its own id or that of the log."""
    body = example(name)
    documents.check(body, "event")
    seq = await wire.publish(f"security.events.v1.{collection}.auth.brute_force", body)
    [hit] = (await wire.search(collection, text=body["text"], min_seq=seq))["hits"]
    assert hit["event"].items() >= body.items()
    assert hit["event"]["id"] == body.get("id", f"seq-{seq}")
    assert hit["similarity"] > 0.99


@pytest.mark.parametrize("name", examples("outcome."))
async def test_every_example_outcome_is_shown_with_its_event(
    wire: Wire, documents: "Documents", collection: str, name: str
) -> None:
    """An outcome of the examples, published, comes back with its event."""
    body = example(name)
    documents.check(body, "outcome")
    if body["event_id"].startswith("seq-"):
        body["event_id"] = f"seq-{await wire.event(collection, 'failed login')}"
    else:
        await wire.event(collection, "failed login", id=body["event_id"])
    await wire.covered(await wire.publish(f"security.outcomes.v1.{collection}", body))
    shown = (await wire.entry(collection, body["event_id"]))["outcome"]
    assert shown.items() >= body.items()


@pytest.mark.parametrize(
    "name", [*examples("search-request"), *examples("list-request"), *examples("recurrence-request")]
)
async def test_every_example_request_is_answered(
    wire: Wire, documents: "Documents", collection: str, name: str
) -> None:
    """The examples of questions are understood to the last field; ids and cursors in them are of another log."""
    body = example(name)
    verb = name.partition("-request")[0]
    documents.check(body, f"{verb}-request")
    for key in ("cursor", "min_seq"):
        body.pop(key, None)
    await wire.covered(await wire.event(collection, "failed login", id=body.get("id", "a")))
    documents.check(await wire.of(collection, verb, **body), f"{verb}-reply")


async def test_the_deletion_in_the_log_is_as_its_schema_says(
    wire: Wire, documents: "Documents", collection: str
) -> None:
    """What the indexer writes into the log can be read by anyone who holds the schema."""
    await filled(wire, collection)
    await wire.of(collection, "delete", ids=["full"])
    await wire.of(collection, "clear", confirm=collection)
    seq = 1
    bodies = []
    while found := await wire.stored(seq, subject=f"security.deletions.v1.{collection}"):
        bodies.append(json.loads(found.data))
        seq = found.seq + 1
    assert bodies == [{"ids": ["full"]}, {"all": True}]
    for body in bodies:
        documents.check(body, "deletion")


async def test_every_reply_about_dead_letters_is_as_its_schema_says(
    wire: Wire, documents: "Documents", collection: str
) -> None:
    """List, get, replay and drop, each with something found and something missing or refused."""
    subject = f"security.events.v1.{collection}.auth"
    seqs = [
        await wire.publish(subject, b"not json", {"X-Team": "soc"}),
        await wire.publish(subject, {"id": "a", "text": ""}),
        await wire.event(collection, "a later revision", id="a"),
    ]
    await wire.covered(seqs[-1])
    questions: list[tuple[str, dict[str, Any]]] = [
        ("list", {"limit": 1}),
        ("get", {"seqs": seqs}),
        ("replay", {"seqs": seqs}),
        ("drop", {"seqs": seqs}),
    ]
    for verb, body in questions:
        documents.check(body, f"dead-{verb}-request")
        documents.check(await wire.ask(f"security.deadletters.v1.{verb}", body), f"dead-{verb}-reply")


async def test_every_reply_about_long_work_is_as_its_schema_says(
    own_wire: Wire, new_indexer: NewIndexer, documents: "Documents"
) -> None:
    """A verification and a rebuild: what they answer at once, and what stats show of them when they have ended."""
    async with new_indexer():
        await filled(own_wire, "incidents")
        questions: list[tuple[str, dict[str, Any]]] = [("verify", {"repair": True}), ("verify", {}), ("rebuild", {})]
        for verb, body in questions:
            documents.check(body, f"{verb}-request")
            begun = await own_wire.ask(f"security.index.v1.{verb}", body)
            documents.check(begun, f"{verb}-reply")

            async def ended(job: str = begun["job"]["id"]) -> None:
                stats = await own_wire.stats()
                documents.check(stats, "stats-reply")
                assert (stats["last_job"] or {}).get("id") == job

            await eventually(ended, timeout=60)
        last = (await own_wire.stats())["last_job"]
        assert (last["kind"], last["outcome"], last["report"]["overlap_at_10"]) == ("rebuild", "done", 1.0)


async def test_a_dead_letters_headers_hold_what_its_schema_asks_for(
    wire: Wire, documents: "Documents", collection: str
) -> None:
    """From the message in the stream alone, anyone can make what the verbs on dead letters show."""
    seq = await wire.publish(f"security.events.v1.{collection}.auth", b"not json", {"X-Team": "soc"})
    await wire.covered(seq)
    [letter] = await wire.dead_letters(collection)
    assert int(letter.headers["Precedent-Stream-Seq"]) == seq
    documents.check(
        {
            "seq": int(letter.headers["Precedent-Stream-Seq"]),
            "reason": letter.headers["Precedent-Reason"],
            "detail": letter.headers["Precedent-Detail"],
            "subject": letter.headers["Precedent-Subject"],
            "headers": json.loads(base64.b64decode(letter.headers["Precedent-Headers"])),
            "data": base64.b64encode(letter.data).decode(),
            "deliveries": int(letter.headers["Precedent-Deliveries"]),
            "dead_at": letter.stored_at,
        },
        "dead-letter",
    )
