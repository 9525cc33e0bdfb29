"""Streams and consumer: created where missing, otherwise checked to the letter; the consumer feeds one index."""

import socket
from pathlib import Path
from typing import Any

import nats.errors
import pytest

from fakes.bus import FakeBus, refused
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.provision import streams as provisioning
from precedent_indexer.adapters.nats.provision.consumer import DurableConsumer
from precedent_indexer.adapters.nats.provision.streams import await_leaders, ensure_streams, operators_choices
from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import BusUnavailable, JetStreamOff, JetStreamRefused, StartRefused
from precedent_indexer.settings import Settings
from precedent_schemas.streams import CONSUMER_CONFIG, DEAD_LETTERS_STREAM_CONFIG, EVENTS_STREAM_CONFIG

INFO = "STREAM.INFO.SECURITY_EVENTS"
DEAD_INFO = "STREAM.INFO.SECURITY_DEAD_LETTERS"
CONSUMER_INFO = "CONSUMER.INFO.SECURITY_EVENTS.indexer"
CONSUMER_CREATE = "CONSUMER.CREATE.SECURITY_EVENTS.indexer"
KEY = "precedent_index"
INSTANCE = "precedent_instance"


def streams(**changes: Any) -> FakeBus:
    """A server whose log has these settings besides, and whose dead letters are right."""
    bus = FakeBus()
    bus.answer(INFO, {"config": EVENTS_STREAM_CONFIG | {"num_replicas": 3, "max_age": 5, **changes}})
    bus.answer(DEAD_INFO, {"config": DEAD_LETTERS_STREAM_CONFIG})
    return bus


def consumer(owner: str | None = None, **changes: Any) -> FakeBus:
    """A server whose consumer has these settings besides."""
    bus = FakeBus()
    metadata = {"_nats.level": "1"} | ({KEY: owner} if owner else {})
    bus.answer(CONSUMER_INFO, {"config": CONSUMER_CONFIG | {"name": "indexer", "metadata": metadata, **changes}})
    bus.answer(CONSUMER_CREATE, {})
    return bus


def created(bus: FakeBus) -> list[Any]:
    """What the server was asked to create or change."""
    return [body for verb, body in bus.asked if ".CREATE." in verb]


async def test_streams_as_they_must_be_are_left_alone() -> None:
    """What is the operator's may be anything; the order of subjects does not matter."""
    off = {"deny_delete": False, "deny_purge": False, "max_msgs_per_subject": -1}
    bus = streams(subjects=EVENTS_STREAM_CONFIG["subjects"][::-1], **off)
    await ensure_streams(bus)
    assert created(bus) == []


async def test_choices_are_made_where_a_stream_is_created_and_nowhere_else() -> None:
    """Bounds and replicas: afterwards they are the operator's, who may have changed them."""
    settings = Settings(precedent_log_max_bytes=1000, precedent_dead_letters_max_bytes=500, precedent_replicas=3)
    bus = streams(max_bytes=7, num_replicas=1)
    bus.answer(DEAD_INFO, refused(10059))
    bus.answer("STREAM.CREATE.SECURITY_DEAD_LETTERS", {"config": DEAD_LETTERS_STREAM_CONFIG})
    await ensure_streams(bus, operators_choices(settings))
    assert [(body["max_bytes"], body["num_replicas"]) for body in created(bus)] == [(500, 3)]


async def test_without_a_choice_a_stream_has_one_replica_and_the_bound_of_the_server() -> None:
    """The defaults are those of one server."""
    choices = operators_choices(Settings())
    assert dict(choices) == {"SECURITY_EVENTS": {"num_replicas": 1}, "SECURITY_DEAD_LETTERS": {"num_replicas": 1}}


async def test_a_start_waits_for_the_leaders_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stream and the consumer is asked for until somebody leads it; that it is missing is an answer."""
    monkeypatch.setattr(provisioning, "_LEADER_PAUSE_S", 0)
    late = BusUnavailable("late")
    late.__cause__ = TimeoutError()
    bus = FakeBus()
    bus.answer(INFO, refused(10008, 503), refused(10009, 503), {"config": {}})
    bus.answer(DEAD_INFO, late, refused(10059))
    bus.answer(CONSUMER_INFO, refused(10014))
    await await_leaders(bus, 60)
    assert [verb for verb, _ in bus.asked] == [INFO, INFO, INFO, DEAD_INFO, DEAD_INFO, CONSUMER_INFO]


@pytest.mark.parametrize(("answer", "patience_s"), [(BusUnavailable("off"), 60), (refused(10008, 503), 0)])
async def test_a_start_does_not_wait_for_ever(answer: Exception, patience_s: float) -> None:
    """Where nobody listens, JetStream is off; and patience ends: what comes next says why."""
    bus = FakeBus()
    for verb in (INFO, DEAD_INFO, CONSUMER_INFO):
        bus.answer(verb, answer)
    await await_leaders(bus, patience_s)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"storage": "memory"}, "storage is 'memory', must be 'file'"),
        ({"retention": "workqueue"}, "retention is 'workqueue', must be 'limits'"),
        ({"discard": "old"}, "discard is 'old', must be 'new'"),
        ({"duplicate_window": 120 * 10**9}, "duplicate_window is 120 s, must be 600 s"),
        ({"allow_direct": False}, "allow_direct is False, must be True"),
        ({"compression": None}, "compression is not set, must be 's2'"),
        ({"max_msg_size": -1}, "max_msg_size is -1, must be 262144"),
        ({"subjects": ["security.events.v1.>"]}, "subjects is "),
        ({"deny_delete": True}, "deny_delete is True, must not be set: what is deleted is erased"),
        ({"deny_purge": True}, "deny_purge is True, must not be set: what is cleared is purged"),
        ({"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5, must not be set: it would drop history"),
    ],
)
async def test_every_difference_of_a_stream_is_named(change: dict[str, Any], says: str) -> None:
    """Each setting that must hold is checked; the message has the stream, what is, what must be, and the remedy."""
    with pytest.raises(StartRefused) as refusal:
        await ensure_streams(streams(**change))
    assert says in str(refusal.value)
    assert "nats stream edit SECURITY_EVENTS" in str(refusal.value)


async def test_all_differences_are_named_together() -> None:
    """One start is enough to learn of everything that is wrong."""
    with pytest.raises(StartRefused) as refusal:
        await ensure_streams(streams(storage="memory", discard="old"))
    assert str(refusal.value).count("must be") == 2


async def test_missing_streams_are_created() -> None:
    """Each with exactly the settings that must hold; what the server made of them is checked too."""
    bus = FakeBus()
    for config in (EVENTS_STREAM_CONFIG, DEAD_LETTERS_STREAM_CONFIG):
        bus.answer(f"STREAM.INFO.{config['name']}", refused(10059))
        bus.answer(f"STREAM.CREATE.{config['name']}", {"config": config})
    await ensure_streams(bus)
    assert created(bus) == [EVENTS_STREAM_CONFIG, DEAD_LETTERS_STREAM_CONFIG]
    bus.answer("STREAM.CREATE.SECURITY_EVENTS", {"config": EVENTS_STREAM_CONFIG | {"compression": "none"}})
    with pytest.raises(StartRefused, match="compression"):
        await ensure_streams(bus)


@pytest.mark.parametrize(("look", "create"), [(refused(10059), refused(10047, 500)), (refused(10039, 503), {})])
async def test_streams_that_cannot_be_had_stop_the_start(look: object, create: object) -> None:
    """Neither a refusal to create nor one to look is passed over."""
    bus = streams()
    bus.answer(INFO, look)
    bus.answer("STREAM.CREATE.SECURITY_EVENTS", create)
    with pytest.raises(StartRefused, match="SECURITY_EVENTS"):
        await ensure_streams(bus)


@pytest.mark.parametrize("after_seq", [0, 41])
async def test_a_missing_consumer_is_created_behind_the_watermark(after_seq: int) -> None:
    """It delivers what comes after the watermark, from the start where there is none, and names its index."""
    bus = FakeBus()
    bus.answer(CONSUMER_INFO, refused(10014))
    bus.answer(CONSUMER_CREATE, {})
    await DurableConsumer(bus).ensure(index_uuid="mine", after_seq=after_seq)
    (body,) = created(bus)
    assert (body["action"], body["stream_name"]) == ("create", "SECURITY_EVENTS")
    assert body["config"]["metadata"] == {KEY: "mine", INSTANCE: "this"}
    assert body["config"]["durable_name"] == body["config"]["name"] == "indexer"
    policy = {key: body["config"].get(key) for key in ("deliver_policy", "opt_start_seq")}
    expected = {"deliver_policy": "all", "opt_start_seq": None}
    assert policy == (expected if not after_seq else {"deliver_policy": "by_start_sequence", "opt_start_seq": 42})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ack_policy": "none"}, "ack_policy is 'none', must be 'explicit'"),
        ({"ack_wait": 30 * 10**9}, "ack_wait is 30 s, must be 60 s"),
        ({"max_deliver": 5}, "max_deliver is 5, must be -1"),
        ({"backoff": [10**9]}, "backoff is [1000000000], must not be set"),
        ({"filter_subject": "security.events.v1.>"}, "filter_subject is "),
        ({"deliver_subject": "x"}, "deliver_subject is "),
        ({"headers_only": True}, "headers_only is True"),
    ],
)
async def test_every_difference_of_the_consumer_is_named(change: dict[str, Any], says: str) -> None:
    """What would lose, cut or reorder messages is refused, with the remedy."""
    with pytest.raises(StartRefused) as refusal:
        await DurableConsumer(consumer("mine", **change)).ensure(index_uuid="mine", after_seq=0)
    assert says in str(refusal.value)
    assert "nats consumer rm SECURITY_EVENTS indexer" in str(refusal.value)


@pytest.mark.parametrize("owner", [None, "mine"])
async def test_a_consumer_is_claimed_for_this_process(owner: str | None) -> None:
    """Nobody's, or ours from another life: it carries index and process from now on, all else is left as it is."""
    bus = consumer(owner, max_ack_pending=5000, deliver_policy="by_start_sequence", opt_start_seq=9)
    await DurableConsumer(bus).ensure(index_uuid="mine", after_seq=0)
    (body,) = created(bus)
    assert body["action"] == "update"
    assert body["config"]["metadata"] == {"_nats.level": "1", KEY: "mine", INSTANCE: "this"}
    assert body["config"]["max_ack_pending"] == 5000
    assert (body["config"]["deliver_policy"], body["config"]["opt_start_seq"]) == ("by_start_sequence", 9)


async def test_init_claims_nothing() -> None:
    """Without an index there is nothing to feed."""
    bus = consumer("somebody")
    await DurableConsumer(bus).ensure(index_uuid=None, after_seq=0)
    assert created(bus) == []


async def test_the_consumer_of_another_index_is_not_taken() -> None:
    """Also where nobody runs it: the message says which index, which directory, and what to do."""
    bus = consumer("theirs")
    with pytest.raises(StartRefused, match=r"theirs.*PRECEDENT_CHROMA_PATH holds index mine.*nats consumer rm"):
        await DurableConsumer(bus).ensure(index_uuid="mine", after_seq=0)
    assert created(bus) == []


@pytest.mark.parametrize(("owner", "found"), [("lost", "lost"), (None, None)])
async def test_the_index_that_nobody_uses_is_named(owner: str | None, found: str | None) -> None:
    """Indexers with other indexes, and services that say nothing of an index, do not make it one in use."""
    bus = consumer(owner)
    bus.services = [{"metadata": {KEY: "third"}}, {}]
    assert await DurableConsumer(bus).orphaned_index() == found


async def test_without_a_consumer_no_index_is_orphaned() -> None:
    """Whoever begins an index then begins another one."""
    bus = FakeBus()
    bus.answer(CONSUMER_INFO, refused(10014))
    assert await DurableConsumer(bus).orphaned_index() is None


async def test_an_index_in_use_is_no_orphan() -> None:
    """Whatever this process has: the other one has the consumer, and a copy of an index bears the same name."""
    bus = consumer("theirs")
    bus.services = [{"metadata": {KEY: "theirs"}}]
    with pytest.raises(StartRefused, match=r"theirs.*is running: one index has one writer"):
        await DurableConsumer(bus).orphaned_index()


async def test_a_consumer_whose_stream_is_gone_names_the_remedy() -> None:
    """The stream is what is missing, not the permission to make the consumer."""
    bus = FakeBus()
    bus.answer(CONSUMER_CREATE, refused(10059))
    with pytest.raises(StartRefused, match=r"SECURITY_EVENTS was deleted: start the indexer again"):
        await DurableConsumer(bus).create(index_uuid="mine", after_seq=7)


async def test_a_server_that_is_not_ready_is_waited_for() -> None:
    """What passes by itself is a fault, not a reason to end."""
    bus = FakeBus()
    bus.answer(CONSUMER_CREATE, refused(10008, 503))
    with pytest.raises(JetStreamRefused):
        await DurableConsumer(bus).create(index_uuid="mine", after_seq=7)


async def test_the_directory_of_the_last_start_is_kept_with_the_consumer() -> None:
    """The next start on this host reads it; a start on another host does not, and a claim without one keeps it."""
    bus = consumer("mine")
    assert await DurableConsumer(bus).last_directory() is None
    await DurableConsumer(bus, Path("/var/lib/index")).ensure(index_uuid="mine", after_seq=0)
    [body] = created(bus)
    noted = body["config"]["metadata"]["precedent_directory"]
    assert noted == f"{socket.gethostname()}:/var/lib/index"
    for metadata, directory in (
        ({"precedent_directory": noted}, "/var/lib/index"),
        ({"precedent_directory": "another.host:/var/lib/index"}, None),
    ):
        bus.answer(CONSUMER_INFO, {"config": CONSUMER_CONFIG | {"name": "indexer", "metadata": metadata}})
        assert await DurableConsumer(bus).last_directory() == directory
    await DurableConsumer(bus).ensure(index_uuid="mine", after_seq=0)
    assert created(bus)[-1]["config"]["metadata"]["precedent_directory"] == "another.host:/var/lib/index"


async def test_a_server_without_jetstream_is_named_as_such() -> None:
    """Where nobody answers the API of JetStream, the error says what to switch on, and which setting may be wrong."""

    class Plain(FakeBus):
        api = Bus.api

        async def request(self, subject: str, *_: Any, **__: Any) -> Packet:
            raise BusUnavailable(f"no answer on {subject}") from nats.errors.NoRespondersError()

    bus = Plain()
    with pytest.raises(JetStreamOff, match=r"JetStream is switched off.*`--jetstream`") as caught:
        await ensure_streams(bus)
    assert "DOMAIN" not in str(caught.value)
    bus._given_domain = "hub"
    with pytest.raises(JetStreamOff, match="PRECEDENT_JETSTREAM_DOMAIN=hub"):
        await ensure_streams(bus)


async def test_an_account_without_jetstream_is_named_as_such() -> None:
    """The server's own words come with the remedy."""
    bus = streams()
    bus.answer(INFO, refused(10039, 503))
    with pytest.raises(StartRefused, match="JetStream is not enabled for our account"):
        await ensure_streams(bus)
