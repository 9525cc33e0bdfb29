"""Questions: idle, by many at once and under full ingest, against the old service."""

from typing import Final

from load import asking
from load.contenders import old, ours
from load.results import PartResult
from load.session import Session

NAME: Final = "latency"
OF_OLD_IDLE: Final = 1 / 20
OF_OLD_LOADED: Final = 1 / 50


async def measure(session: Session) -> PartResult:
    """Run it."""
    result = PartResult(name=NAME)
    asked = await session.once("ours.asked", ours.asked)
    old_service = await session.once("old", old.measured)
    askers = session.sizes.askers
    named = {
        "idle": ("Precedent, idle", asked.idle),
        "at_once": (f"Precedent, {askers} askers at once", asked.at_once),
        "loaded": ("Precedent, under full ingest", asked.loaded),
        "old.idle": ("old service, idle", old_service.idle),
        "old.loaded": (f"old service, {old.CLIENTS} clients adding", old_service.loaded),
    }
    for key, (what, taken) in named.items():
        result.latency(key, what, taken)
        result.curve("latency", taken.curve(what))
    result.figure("loaded.rate", "ingest while questions are asked", asked.loaded_rate, "events/s")
    result.ratio(
        "idle.of_old",
        "idle p50, to the old service",
        asked.idle.p50 / old_service.idle.p50,
        OF_OLD_IDLE,
        at_least=False,
    )
    result.ratio(
        "loaded.of_old",
        "loaded p99, to the old service",
        asked.loaded.p99 / old_service.loaded.p99,
        OF_OLD_LOADED,
        at_least=False,
    )
    result.ratio("loaded.of_idle", "loaded p50, to idle", asked.loaded.p50 / asked.idle.p50)
    result.figure("k", "hits asked for", asking.K, "hits")
    return result
