"""The whole of Precedent under TLS and nkeys, each part with its own role and not one permission more."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from harness.indexer_process import run_indexer_command
from harness.waits import eventually
from precedent_backend_adapter import NotDelivered, NotDeliveredReason, NotPermitted, Outcome, SecurityEvent, Verdict
from security.closed_bus import INDEX_WAIT, ONE_TEAM, WAIT, ClosedStack, closed_bus, closed_stack, run_precedent

COMMAND_SECONDS = 90.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClosedStack]:
    """The shipped plan, running; streams made by `init` as the operator, and an indexer as the indexer."""
    folder = tmp_path_factory.mktemp("closed")
    with closed_bus(folder / "keys", ONE_TEAM) as bus:
        async with closed_stack(bus, folder / "chroma") as running:
            yield running
            assert running.denied() == []


def failed_logins(text: str, **fields: object) -> SecurityEvent:
    """An event."""
    return SecurityEvent.model_validate({"kind": "auth.brute_force", "text": text, **fields})


async def test_publish_and_ask(stack: ClosedStack) -> None:
    """A publisher's event and its outcome are found by an asker, by every question there is."""
    # Of its own, so that nothing else is like it.
    collection = f"asked-{uuid.uuid4().hex[:12]}"
    async with stack.bus.precedent("backend") as backend, stack.bus.precedent("analyst") as analyst:
        event = failed_logins("5000 failed logins for admin in 30 s", user="admin", collection=collection)
        receipt = await backend.publish(event)
        decided = Outcome(event_id=receipt.id, verdict=Verdict.TRUE_POSITIVE)
        last = await backend.publish_outcome(decided, collection=collection)
        question = "thousands of failed logins"
        answer = await analyst.search(question, k=1, collection=collection, after=last, wait=INDEX_WAIT)
        assert [hit.event.id for hit in answer.hits] == [receipt.id]
        assert (await analyst.recurrence(id=receipt.id, collection=collection)).total == 1
        found = (await analyst.get([receipt.id], collection=collection)).events
        assert [entry.event.id for entry in found] == [receipt.id]
        assert [entry.event.id async for entry in analyst.list(collection=collection)] == [receipt.id]
        assert (await analyst.collection_stats(collection=collection)).count == 1
        assert (await analyst.stats()).indexed_seq >= last.seq


async def test_an_analyst_records_an_outcome(stack: ClosedStack) -> None:
    """An analyst asks, records what came of an event with the same key, and cannot publish an event."""
    collection = f"judged-{uuid.uuid4().hex[:12]}"
    async with stack.bus.precedent("backend") as backend, stack.bus.precedent("analyst") as analyst:
        receipt = await backend.publish(failed_logins("failed logins", collection=collection))
        outcome = Outcome(event_id=receipt.id, verdict=Verdict.TRUE_POSITIVE)
        last = await analyst.publish_outcome(outcome, collection=collection)
        answer = await analyst.search("logins", collection=collection, after=last, wait=INDEX_WAIT)
        assert [hit.outcome and hit.outcome.verdict for hit in answer.hits] == [Verdict.TRUE_POSITIVE]
        with pytest.raises(NotDelivered) as caught:
            await analyst.publish(failed_logins("an event", collection=collection))
        assert caught.value.reason is NotDeliveredReason.NOT_PERMITTED


async def test_a_tool_publishes_and_waits(stack: ClosedStack) -> None:
    """`precedent publish --wait` publishes and asks with one key of the role `tool`."""
    code, out, err = await run_precedent(
        *("publish", "auth.tool", "a failed login", "--id", "by-a-tool", "--wait"), settings=stack.bus.settings("tool")
    )
    assert (code, err) == (0, "")
    assert "by-a-tool" in out


async def test_delete_clear_and_dead_letters(stack: ClosedStack) -> None:
    """The operator removes and revives; the indexer may do all that these take."""
    collection = "operated"
    async with (
        stack.bus.client("backend") as (raw, _),
        stack.bus.precedent("backend") as backend,
        stack.bus.precedent("analyst") as analyst,
        stack.bus.precedent("operator") as operator,
    ):
        receipts = [await backend.publish(failed_logins(f"login {n}", collection=collection)) for n in range(3)]
        bad = await raw.jetstream().publish(f"security.events.v1.{collection}.auth", b"not json", timeout=WAIT)
        await analyst.search("login", collection=collection, after=receipts[-1], wait=INDEX_WAIT)

        assert (await operator.delete([receipts[0].id], collection=collection)).deleted == [receipts[0].id]

        async def dead() -> None:
            assert bad.seq in [letter.seq async for letter in operator.dead_letters()]

        await eventually(dead, timeout=WAIT, attempt_timeout=INDEX_WAIT)
        assert [letter.seq for letter in (await operator.get_dead_letters([bad.seq])).dead_letters] == [bad.seq]
        [replayed] = (await operator.replay_dead_letters([bad.seq])).replayed

        async def dead_again() -> None:
            assert replayed.new_seq in [letter.seq async for letter in operator.dead_letters()]

        await eventually(dead_again, timeout=WAIT, attempt_timeout=INDEX_WAIT)
        assert (await operator.drop_dead_letters([replayed.new_seq])).dropped == [replayed.new_seq]
        assert (await operator.clear(collection, confirm=collection)).deleted == 2


async def run(stack: ClosedStack, *words: str) -> str:
    """Run a command beside the indexer, with the operator's key; what it printed."""
    done = await asyncio.to_thread(run_indexer_command, words, stack.bus.settings("operator"), COMMAND_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it is done here" not in done.stderr
    return done.stdout


async def test_the_operators_commands(stack: ClosedStack) -> None:
    """With the operator's key every command beside `serve` does its work, by the indexer that runs."""
    subject = "security.events.v1.commands.auth"
    async with stack.bus.client("backend") as (raw, _), stack.bus.precedent("analyst") as analyst:
        good = await raw.jetstream().publish(subject, b'{"text": "a good event", "id": "good"}', timeout=WAIT)
        bad = [await raw.jetstream().publish(subject, text, timeout=WAIT) for text in (b"{", b"not json")]
        question = json.dumps({"text": "x", "min_seq": good.seq, "wait_ms": 30_000}).encode()
        async with stack.bus.client("analyst") as (asking, _):
            await asking.request("security.index.v1.commands.search", question, timeout=WAIT)

        async def listed() -> list[int]:
            return [
                one["seq"] for one in json.loads(await run(stack, "dead-letters", "list", "--json"))["dead_letters"]
            ]

        async def both() -> None:
            assert {one.seq for one in bad} <= set(await listed())

        await eventually(both, timeout=COMMAND_SECONDS, attempt_timeout=COMMAND_SECONDS)
        assert "not json" in await run(stack, "dead-letters", "show", str(bad[1].seq))
        assert "published anew" in await run(stack, "dead-letters", "replay", str(bad[0].seq))
        await run(stack, "dead-letters", "drop", str(bad[1].seq))
        assert not {one.seq for one in bad} & set(await listed())
        assert json.loads(await run(stack, "rebuild", "--json"))["outcome"] == "done"
        assert json.loads(await run(stack, "verify", "--repair", "--json"))["outcome"] == "done"
        assert (await analyst.get(["good"], collection="commands")).missing == []


async def test_a_deleted_consumer_is_made_again(stack: ClosedStack) -> None:
    """The operator deletes the consumer, as its remedies say; the indexer may make it again and goes on."""
    async with (
        stack.bus.client("operator") as (raw, _),
        stack.bus.precedent("backend") as backend,
        stack.bus.precedent("analyst") as analyst,
    ):
        reply = await raw.request("$JS.API.CONSUMER.DELETE.SECURITY_EVENTS.indexer", timeout=WAIT)
        assert json.loads(reply.data)["success"]
        receipt = await backend.publish(failed_logins("after the consumer was gone"))
        await analyst.search("consumer", after=receipt, wait=INDEX_WAIT)


async def test_health_is_asked_with_the_indexers_key(stack: ClosedStack) -> None:
    """What a supervisor runs beside the indexer needs no key of its own."""
    done = await asyncio.to_thread(run_indexer_command, ["health", "--timeout", "30"], stack.bus.settings("indexer"))
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_collection_is_a_border(stack: ClosedStack) -> None:
    """A publisher and an asker that are narrowed to a collection work there, and nowhere else."""
    async with stack.bus.precedent("rules-editor") as editor, stack.bus.precedent("rules-reader") as reader:
        receipt = await editor.publish(failed_logins("Lock an account after 20 failed logins", collection="rules"))
        answer = await reader.search("lock", collection="rules", after=receipt, wait=INDEX_WAIT)
        assert receipt.id in [hit.event.id for hit in answer.hits]
        with pytest.raises(NotDelivered) as caught:
            await editor.publish(failed_logins("not here", collection="incidents"))
        assert caught.value.reason is NotDeliveredReason.NOT_PERMITTED
        with pytest.raises(NotPermitted, match=r"security\.index\.v1\.incidents\.search"):
            await reader.search("anything", collection="incidents")


async def test_a_source_is_a_border(stack: ClosedStack) -> None:
    """A source's key publishes events of its own kinds alone, so that the kind says who spoke, whatever they wrote."""
    async with stack.bus.precedent("firewall") as firewall, stack.bus.precedent("analyst") as analyst:
        receipt = await firewall.publish(SecurityEvent(kind="firewall.drop", text="dropped", source="firewall"))
        await analyst.search("dropped", after=receipt, wait=INDEX_WAIT)
        for kind in ("auth", "firewalls", "ids.firewall"):
            with pytest.raises(NotDelivered) as caught:
                await firewall.publish(SecurityEvent(kind=kind, text="forged", source="firewall"))
            assert caught.value.reason is NotDeliveredReason.NOT_PERMITTED
        with pytest.raises(NotDelivered):
            await firewall.publish_outcome(Outcome(event_id=receipt.id, verdict=Verdict.BENIGN))


async def test_viewers_look_and_only_auditors_read(stack: ClosedStack, tmp_path: Path) -> None:
    """A viewer sees streams, consumer and service and no message; one who is granted payloads reads single ones."""
    async with stack.bus.precedent("backend") as backend:
        receipt = await backend.publish(failed_logins("for the auditor's eyes"))
    async with stack.bus.client("viewer") as (viewer, _), stack.bus.client("auditor") as (auditor, _):
        looks = ("$JS.API.STREAM.INFO.SECURITY_EVENTS", "$JS.API.CONSUMER.INFO.SECURITY_EVENTS.indexer")
        for subject in (*looks, "$SRV.INFO.indexer", "$SRV.STATS.indexer", "security.index.v1.stats"):
            assert "error" not in json.loads((await viewer.request(subject, timeout=WAIT)).data)
        asked = json.dumps({"seq": receipt.seq}).encode()
        message = await auditor.request("$JS.API.DIRECT.GET.SECURITY_EVENTS", asked, timeout=WAIT)
        assert b"auditor" in message.data
