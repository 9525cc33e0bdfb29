"""The books of one index: its consumer feeds this process alone, its log is the one that was read."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.bus import FakeBus
from fakes.chaos import Chaos
from fakes.index_service import FakeIndexService
from precedent_indexer.adapters.nats.provision.consumer import DurableConsumer
from precedent_indexer.domain.messages import ConsumerState
from precedent_indexer.errors import StartRefused
from precedent_indexer.index.log_match import began_at, put_back, rewritten
from precedent_indexer.ingest.checkpoint import Checkpoint
from precedent_schemas.streams import CONSUMER_CONFIG

INFO = "CONSUMER.INFO.SECURITY_EVENTS.indexer"
CREATE = "CONSUMER.CREATE.SECURITY_EVENTS.indexer"


@pytest.fixture
async def service(tmp_path: Path) -> FakeIndexService:
    """An index that is open."""
    made = FakeIndexService(tmp_path)
    await made.start()
    return made


@pytest.fixture
def bus() -> FakeBus:
    """A server with a consumer that nobody has claimed."""
    made = FakeBus()
    made.answer(INFO, {"config": CONSUMER_CONFIG | {"name": "indexer"}})
    made.answer(CREATE, {})
    return made


def checkpoint_of(service: FakeIndexService, bus: FakeBus) -> Checkpoint:
    """The real books."""
    return Checkpoint(DurableConsumer(bus), service.index, service.progress, service.workers, service.log)


def fed(index_uuid: str | None, instance: str | None) -> ConsumerState:
    """A consumer of this index and this process."""
    return ConsumerState(0, 0, 0, 0, index_uuid, instance)


async def test_an_own_consumer_is_left_alone(service: FakeIndexService, bus: FakeBus) -> None:
    """The server is not even asked."""
    await checkpoint_of(service, bus).check_owner(fed(service.index.identity.uuid, bus.instance))
    assert bus.asked == []


async def test_a_process_that_was_replaced_ends(service: FakeIndexService, bus: FakeBus) -> None:
    """Frozen for a while, it finds that another one has taken a copy of its index into use; nothing is claimed back."""
    with pytest.raises(StartRefused, match="one index has one writer"):
        await checkpoint_of(service, bus).check_owner(fed(service.index.identity.uuid, "another"))
    assert bus.asked == []


@pytest.mark.parametrize("uuid", [None, "ours"])
async def test_a_consumer_that_was_made_by_hand_is_claimed(
    service: FakeIndexService, bus: FakeBus, uuid: str | None
) -> None:
    """Nobody else has it."""
    mine = service.index.identity.uuid
    await checkpoint_of(service, bus).check_owner(fed(mine if uuid else None, None))
    [body] = [body for verb, body in bus.asked if verb == CREATE]
    assert body["config"]["metadata"] == {"precedent_index": mine, "precedent_instance": bus.instance}  # type: ignore[index]


async def test_the_consumer_of_another_index_ends_the_process(service: FakeIndexService, bus: FakeBus) -> None:
    """It was taken over while nobody looked."""
    bus.answer(INFO, {"config": CONSUMER_CONFIG | {"metadata": {"precedent_index": "theirs"}}})
    with pytest.raises(StartRefused, match="feeds index theirs"):
        await checkpoint_of(service, bus).check_owner(fed("theirs", "another"))


def put_back_older(service: FakeIndexService, first: int) -> None:
    """The log is put back from a backup that ended before `first`, and other messages came since."""
    for seq in range(first, service.log.last_seq + 1):
        message = service.log.messages[seq]
        service.log.messages[seq] = replace(message, stored_at=message.stored_at + timedelta(minutes=1))


async def test_a_log_that_was_put_back_is_noticed_before_more_is_saved(service: FakeIndexService, bus: FakeBus) -> None:
    """The watermark stays, so that the next start notices too, whatever came since."""
    for number in range(5):
        service.log.publish_event({"text": f"event {number}"})
    checkpoint = checkpoint_of(service, bus)
    await checkpoint.save_watermark(3)
    put_back_older(service, 3)
    with pytest.raises(StartRefused, match=r"another message at 3 .* older backup; started again, it is rebuilt"):
        await checkpoint.save_watermark(5)
    saved = service.index.store.identity()
    assert saved is not None
    assert (saved.watermark, saved.mark_seq) == (3, 3)
    assert await rewritten(saved, service.log) is not None


async def test_a_log_that_only_grew_or_lost_messages_is_the_same(service: FakeIndexService, bus: FakeBus) -> None:
    """Erased, expired or not there yet: what is gone says nothing, and the mark before it stays."""
    for number in range(5):
        service.log.publish_event({"text": f"event {number}"})
    checkpoint = checkpoint_of(service, bus)
    await checkpoint.save_watermark(2)
    service.log.messages.pop(4)
    await checkpoint.save_watermark(4)
    saved = service.index.store.identity()
    assert saved is not None
    assert (saved.watermark, saved.mark_seq) == (4, 2)
    service.log.messages.pop(2)
    await checkpoint.save_watermark(5)
    saved = service.index.store.identity()
    assert saved is not None
    assert (saved.watermark, saved.mark_seq) == (5, 5)
    assert await rewritten(saved, service.log) is None


async def test_the_watermark_is_kept_while_the_bus_is_away(service: FakeIndexService, bus: FakeBus) -> None:
    """Nobody can be asked about the mark: it stays as it is, and what was applied is not applied again."""
    for number in range(3):
        service.log.publish_event({"text": f"event {number}"})
    checkpoint = checkpoint_of(service, bus)
    await checkpoint.save_watermark(1)
    service.log.chaos = Chaos()
    service.log.chaos.strike_next()
    await checkpoint.save_watermark(3)
    saved = service.index.store.identity()
    assert saved is not None
    assert (saved.watermark, saved.mark_seq) == (3, 1)


async def test_an_index_without_a_mark_is_believed(service: FakeIndexService) -> None:
    """One that has read nothing, or was written before there were marks."""
    service.log.publish_event({"text": "event"})
    assert await rewritten(service.index.identity, service.log) is None


async def test_a_log_made_anew_that_has_what_was_read_is_the_same(service: FakeIndexService, bus: FakeBus) -> None:
    """Put back from a backup it has another creation: the index belongs to it from now on, up to its mark."""
    for number in range(5):
        service.log.publish_event({"text": f"event {number}"})
    checkpoint = checkpoint_of(service, bus)
    await checkpoint.save_watermark(3)
    service.log.messages.pop(4)
    await checkpoint.save_watermark(4)
    service.log.created = "2026-02-02T00:00:00Z"
    said = service.generations.look()
    assert said is not None
    corrected = await put_back(said, await service.log.state(), service.log)
    assert corrected is not None
    assert (corrected.stream_created, corrected.watermark, corrected.uuid) == (service.log.created, 3, said.uuid)
    service.generations.correct(corrected)
    index = service.generations.open(await service.log.state())
    assert (index.is_new, index.identity) == (False, corrected)


@pytest.mark.parametrize("what", ["another log", "a shorter one", "the very same", "read nothing"])
async def test_any_other_log_is_not(service: FakeIndexService, bus: FakeBus, what: str) -> None:
    """With other messages, with too few, with its own creation, or where nothing was read of it yet."""
    for number in range(5):
        service.log.publish_event({"text": f"event {number}"})
    if what != "read nothing":
        await checkpoint_of(service, bus).save_watermark(4)
    if what != "the very same":
        service.log.created = "2026-02-02T00:00:00Z"
    if what == "another log":
        put_back_older(service, 1)
    if what == "a shorter one":
        service.log.last_seq = 3
        service.log.messages.pop(4)
    said = service.generations.look()
    assert said is not None
    assert await put_back(said, await service.log.state(), service.log) is None


async def test_a_log_that_was_put_back_began_before_its_creation(service: FakeIndexService) -> None:
    """With its first message; an empty log has none."""
    assert await began_at(await service.log.state(), service.log) is None
    service.log.publish_event({"text": "event"})
    assert await began_at(await service.log.state(), service.log) == service.log.messages[1].stored_at


async def test_nothing_is_said_by_an_index_that_is_broken_or_not_there(service: FakeIndexService) -> None:
    """Nothing is opened where a probe found it broken; an empty directory says nothing."""
    opened = len(service.disk.stores)
    assert service.generations.look("its probe failed") is None
    (service.disk.directory.path / "CURRENT").unlink()
    assert service.generations.look() is None
    assert len(service.disk.stores) == opened
