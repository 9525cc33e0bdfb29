"""Publishing through the adapter, one event at a time and many, on the server's two ways to sync."""

import time
from typing import Final

from harness.indexer_process import run_indexer_command
from harness.nats_server import NatsServer
from load import texts
from load.contenders import ours
from load.results import PartResult
from load.session import Session
from precedent_backend_adapter import Precedent

NAME: Final = "publisher"
_SYNCS: Final = {
    "default": ("sync_interval default", ""),
    "always": ("sync_interval always", "jetstream { sync_interval: always }"),
}
_SEED: Final = 99


async def measure(session: Session) -> PartResult:
    """Run it."""
    result = PartResult(name=NAME)
    singly, many = session.sizes.published
    rates: dict[tuple[str, str], float] = {}
    for key, (label, config) in _SYNCS.items():
        session.say(f"publisher: {singly} events one at a time, {many} together, {label}")
        with NatsServer(session.room("publisher") / "jetstream", config=config) as server:
            run_indexer_command(["init"], {"NATS_URL": server.url})
            async with Precedent.connect(server.url) as client:
                some = list(texts.events(texts.distinct_texts(singly + many, _SEED), key))
                began = time.perf_counter()
                for event in some[:singly]:
                    await client.publish(event)
                rates[key, "one"] = singly / (time.perf_counter() - began)
                began = time.perf_counter()
                await ours.publish(client, some[singly:])
                rates[key, "many"] = many / (time.perf_counter() - began)
        result.figure(f"{key}.one", f"one at a time, {label}", rates[key, "one"], "events/s")
        result.figure(f"{key}.many", f"publish_many, {label}", rates[key, "many"], "events/s")
        result.ratio(f"{key}.gain", f"publish_many to one at a time, {label}", rates[key, "many"] / rates[key, "one"])
        session.say(f"  {rates[key, 'one']:.0f} and {rates[key, 'many']:.0f} events/s")
    result.ratio("always", "publish_many, sync always to default", rates["always", "many"] / rates["default", "many"])
    return result
