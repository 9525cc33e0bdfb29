"""The log alone: the stream as the contract says, made without an indexer, and everything that is in it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING

from precedent_schemas.streams import EVENTS_STREAM_CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.wire import Wire

LOG = str(EVENTS_STREAM_CONFIG["name"])


async def make_log(wire: Wire, **settings: object) -> None:
    """Make the stream, or change `settings` of it."""
    config = {**EVENTS_STREAM_CONFIG, **settings}
    reply = await wire.api(f"STREAM.CREATE.{LOG}", config)
    if "error" in reply:
        reply = await wire.api(f"STREAM.UPDATE.{LOG}", config)
    assert "error" not in reply, reply


async def last_seq(wire: Wire) -> int:
    """The last sequence that was given."""
    state = (await wire.api(f"STREAM.INFO.{LOG}"))["state"]
    assert isinstance(state["last_seq"], int)
    return state["last_seq"]


async def ids_in_log(wire: Wire) -> list[str]:
    """The event id of every message, in the order of the log."""
    found: list[str] = []
    for seq in range(1, await last_seq(wire) + 1):
        stored = await wire.stored(seq)
        if stored is not None:
            body = json.loads(stored.data)
            found.append(body.get("id") or f"outcome of {body['event_id']}")
    return found


def assert_once_and_in_order(found: list[str], wanted: Iterable[str]) -> None:
    """Every id of `wanted` is in the log exactly once, no other id twice, and `wanted` is in its order."""
    twice = [one for one, times in Counter(found).items() if times > 1]
    assert not twice, f"{len(twice)} are in the log more than once: {twice[:10]}"
    place = {one: at for at, one in enumerate(found)}
    expected = list(wanted)
    lost = [one for one in expected if one not in place]
    assert not lost, f"{len(lost)} of {len(expected)} are not in the log: {lost[:10]}"
    swapped = [pair for pair in itertools.pairwise(expected) if place[pair[0]] > place[pair[1]]]
    assert not swapped, f"{len(swapped)} stand in the log before one that was published earlier: {swapped[:10]}"
