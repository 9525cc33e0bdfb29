"""What leaves the middle of the log, whoever removed it and how, leaves the index: while it runs and at a start."""

from collections.abc import Iterable

from harness.stack import NewIndexer
from harness.waits import eventually
from harness.wire import LOG, Wire

C = "incidents"
WAIT = 60.0
"""What is promised."""


async def published(wire: Wire, *ids: str, kind: str = "test", ttl: str | None = None) -> list[int]:
    """Events with these ids; their sequences."""
    headers = {"Nats-TTL": ttl} if ttl else None
    return [
        await wire.publish(f"security.events.v1.{C}.{kind}", {"text": f"event {one}", "id": one}, headers)
        for one in ids
    ]


async def listed_soon(wire: Wire, ids: Iterable[str]) -> None:
    """Wait until the index has these ids and no others, by `list` and by `search`."""

    async def followed() -> None:
        assert sorted(await wire.listed(C)) == sorted(ids)
        assert set(await wire.found(C, text="event", k=100)) == set(ids)

    await eventually(followed, timeout=WAIT)


async def test_whatever_leaves_the_log_leaves_the_index(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """One message, all of a subject, all but the last of a subject, and by a lifetime; nobody runs `verify`."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    config = (await own_wire.api(f"STREAM.INFO.{LOG}"))["config"]
    assert "error" not in await own_wire.api(f"STREAM.UPDATE.{LOG}", config | {"allow_msg_ttl": True})
    await published(own_wire, "first")
    [one, two] = await published(own_wire, "removed", "removed-while-stopped")
    await published(own_wire, "p1", "p2", kind="purged")
    await published(own_wire, "k1", "k2", "k3", kind="kept")
    await published(own_wire, "q1", "q2", kind="later")
    await published(own_wire, "brief", ttl="1s")
    decided = await own_wire.outcome(C, "first", "benign")
    await own_wire.covered((await published(own_wire, "last"))[0])

    subject = f"security.events.v1.{C}"
    assert (await own_wire.api(f"STREAM.MSG.DELETE.{LOG}", {"seq": one}))["success"]
    assert (await own_wire.api(f"STREAM.MSG.DELETE.{LOG}", {"seq": decided, "no_erase": True}))["success"]
    assert (await own_wire.api(f"STREAM.PURGE.{LOG}", {"filter": f"{subject}.purged"}))["purged"] == 2
    assert (await own_wire.api(f"STREAM.PURGE.{LOG}", {"filter": f"{subject}.kept", "keep": 1}))["purged"] == 2
    await listed_soon(own_wire, ["first", "removed-while-stopped", "k3", "q1", "q2", "last"])
    assert (await own_wire.entry(C, "first")).get("outcome") is None

    assert await indexer.terminate() == 0
    assert (await own_wire.api(f"STREAM.MSG.DELETE.{LOG}", {"seq": two}))["success"]
    assert (await own_wire.api(f"STREAM.PURGE.{LOG}", {"filter": f"{subject}.later"}))["purged"] == 2
    indexer.start()
    await indexer.wait_ready()
    await listed_soon(own_wire, ["first", "k3", "last"])
    assert await indexer.terminate() == 0
