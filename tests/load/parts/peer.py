"""Precedent against a peer that a competent engineer writes in an afternoon."""

from typing import Final

from load.contenders import ours, peer
from load.parts import ingest
from load.results import Curve, PartResult
from load.session import Session

NAME: Final = "peer"
RATE_WITH_AMX: Final = 3.0
LOADED_P99: Final = 0.5


async def measure(session: Session) -> PartResult:
    """Run it."""
    result = PartResult(name=NAME)
    other = await session.once("peer", peer.measured)
    fresh, _ = await session.once("ours.ingest.fresh", ingest.fresh)
    asked = await session.once("ours.asked", ours.asked)
    result.figure("rate", "peer, backlog", other.rate, "events/s")
    result.latency("idle", "peer, idle", other.idle)
    result.latency("loaded", "peer, under full ingest", other.loaded)
    result.figure("loaded_rate", "peer, ingest while questions are asked", other.loaded_rate, "events/s")
    goal = RATE_WITH_AMX if session.machine.has_amx else None
    result.ratio("rate", "events/s of Precedent, to the peer", fresh.rate / other.rate, goal)
    result.ratio("idle", "idle p50 of Precedent, to the peer", asked.idle.p50 / other.idle.p50, at_least=False)
    result.ratio(
        "loaded",
        "loaded p99 of Precedent, to the peer",
        asked.loaded.p99 / other.loaded.p99,
        LOADED_P99,
        at_least=False,
    )
    seconds = fresh.count / other.rate
    result.curve("ingest", Curve(label="peer", x=[0.0, seconds], y=[0.0, float(fresh.count)]))
    result.curve("latency", other.idle.curve("peer, idle"))
    result.curve("latency", other.loaded.curve("peer, under full ingest"))
    return result
