"""What cannot be indexed, for whatever reason, is a dead letter in the end, and its neighbours are indexed."""

import asyncio
import json

import nats.errors
import pytest

from faults.conftest import NewRigged
from faults.invariant import holds
from faults.ledger import Ledger, Refusal, Version
from faults.publishing import COLLECTION, Publisher
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.waits import eventually
from harness.wire import LOG, Wire

MARK = "doomed"
SUBJECT = f"security.events.v1.{COLLECTION}.fault"
REFUSED: list[tuple[bytes, str]] = [
    (b"not json", "malformed"),
    (b"", "malformed"),
    (b'{"text": "\xff"}', "malformed"),
    (b'{"text": "x", "text": "y"}', "malformed"),
    (b'{"text": "x", "attributes": {"a": NaN}}', "malformed"),
    (b"[" * 100_000, "malformed"),
    (b'{"text": ""}', "invalid"),
    (b'{"text": "x", "severity": 9}', "invalid"),
    (b'{"text": "x", "id": "seq-1"}', "invalid"),
    (json.dumps({"text": "x" * 40_000}).encode(), "too_large"),
]


async def raw_publication(
    server: NatsServer, subject: bytes, data: bytes, *, headers: bytes = b"", reply: bytes = b""
) -> None:
    """Publish as no client library would: these very bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readline()
    block = b"NATS/1.0\r\n" + headers + b"\r\n"
    head = b"HPUB %s %s %d %d\r\n" % (subject, reply, len(block), len(block) + len(data))
    writer.write(b'CONNECT {"headers": true, "verbose": false}\r\n' + head + block + data + b"\r\nPING\r\n")
    while await reader.readline() != b"PONG\r\n":
        pass
    writer.close()
    await writer.wait_closed()


async def last_seq(wire: Wire, more_than: int) -> int:
    """The last sequence of the log, once it is past `more_than`: nobody is told of what was published raw."""

    async def probe() -> int:
        seq = int((await wire.api(f"STREAM.INFO.{LOG}"))["state"]["last_seq"])
        assert seq > more_than
        return seq

    return await eventually(probe, timeout=10)


async def test_poison_of_every_kind_between_good_events(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """Every way to be refused, each between good events, also when the indexer is killed among them."""
    indexer, _ = new_rigged()
    async with indexer:
        for data, reason in REFUSED:
            await publisher.event()
            await publisher.poison(data, reason)
        await own_wire.covered(2)
        indexer.kill()
        indexer.start()
        await indexer.wait_ready()
        await publisher.events(5)
        await holds(own_wire, ledger)
        await own_wire.all_settled()


async def test_what_the_client_library_cannot_receive(
    server: NatsServer, own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """A subject and a reply that are not UTF-8, and a header that looks like a status, hold nobody up."""
    indexer, _ = new_rigged()
    async with indexer:
        await publisher.events(3)
        before = await last_seq(own_wire, 0)
        await raw_publication(server, SUBJECT.encode() + b".\xff\xfe", b'{"text": "x"}')
        seq = await last_seq(own_wire, before)
        ledger.refuse(seq, Refusal(COLLECTION, "invalid"))
        await raw_publication(server, SUBJECT.encode(), b'{"text": "one", "id": "reply"}', reply=b"\xff\xfe")
        ledger.publish((COLLECTION, "reply"), Version("one", await last_seq(own_wire, seq)))
        await publisher.events(3)
        before = await last_seq(own_wire, 0)
        await raw_publication(server, SUBJECT.encode(), b'{"text": "two", "id": "status"}', headers=b"Status: 404\r\n")
        ledger.publish((COLLECTION, "status"), Version("two", await last_seq(own_wire, before)))
        await publisher.events(3)
        await holds(own_wire, ledger)
        await own_wire.all_settled()


@pytest.mark.parametrize("order", ["embed_poison", "store_poison"])
async def test_an_event_that_the_model_or_the_store_cannot_take(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, order: str
) -> None:
    """One event that fails every time, among others in one batch: it alone is refused, and the others are there."""
    indexer, orders = new_rigged()
    orders.give(**{order: MARK})
    async with indexer:
        publisher = Publisher(own_wire, ledger)
        orders.give(embed_delay_s=0.05)
        await publisher.events(20)
        await doomed(publisher, ledger)
        await publisher.events(20)
        orders.give(embed_delay_s=None)
        await holds(own_wire, ledger)
        await own_wire.all_settled()


async def doomed(publisher: Publisher, ledger: Ledger) -> int:
    """Publish an event that will be refused although nothing is wrong with it; its sequence."""
    data = json.dumps({"id": MARK, "text": f"{MARK} {publisher.text()}"}).encode()
    return await publisher.poison(data, "unprocessable")


@pytest.mark.timeout(180)
async def test_an_event_that_ends_the_process(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """A message that ends the process whenever it is touched is refused after three ends; its neighbours are there."""
    indexer, orders = new_rigged()
    indexer.start()
    await indexer.wait_ready()
    orders.give(embed_delay_s=0.02, die_at_text=MARK)
    await publisher.events(20)
    seq = await doomed(publisher, ledger)
    await publisher.events(20)
    assert await lives_until(indexer, own_wire, seq) == 3
    await holds(own_wire, ledger)
    await indexer.terminate()


@pytest.mark.timeout(180)
async def test_an_end_once_it_is_stored(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """An event whose storing is followed by the end of the process is in the index, and not refused as well."""
    indexer, orders = new_rigged()
    indexer.start()
    await indexer.wait_ready()
    orders.give(embed_delay_s=0.02, die_once_stored=MARK)
    await publisher.events(20)
    await publisher.event(text=f"{MARK} {publisher.text()}")
    await publisher.events(20)
    await lives_until(indexer, own_wire, 41)
    await holds(own_wire, ledger)
    await indexer.terminate()


async def lives_until(indexer: IndexerProcess, wire: Wire, seq: int) -> int:
    """Start it again after every end, as a supervisor does, until it covers `seq`; how many starts that took."""
    starts = 0

    async def covered() -> None:
        nonlocal starts
        if indexer.returncode is not None:
            starts += 1
            indexer.start()
        assert (await wire.stats())["indexed_seq"] >= seq, indexer.log_tail()

    await eventually(covered, timeout=120, interval=0.1, exceptions=(AssertionError, nats.errors.Error))
    return starts
