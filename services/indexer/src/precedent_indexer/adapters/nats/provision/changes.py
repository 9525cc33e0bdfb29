"""Settings on the server that an operator has changed since the start, and that contradict the contract."""

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.provision.consumer import consumer_contradictions
from precedent_schemas.streams import STREAM_CONFIGS, contradictions
from precedent_schemas.subjects import CONSUMER, EVENTS_STREAM


async def changed_settings(bus: Bus) -> list[str]:
    """Contradictions in the settings of streams and consumer, one line each with the remedy.

    Raises:
        BusUnavailable: JetStream does not answer.
    """
    lines = []
    for wanted in STREAM_CONFIGS:
        name = wanted["name"]
        found = (await bus.api(f"STREAM.INFO.{name}"))["config"]
        lines += [f"stream {name}: {one}; `nats stream edit {name}`" for one in contradictions(wanted, found)]
    info = await bus.api(f"CONSUMER.INFO.{EVENTS_STREAM}.{CONSUMER}")
    problems = consumer_contradictions(info["config"])
    if info.get("paused"):
        problems.append(f"it is paused, until {info['config'].get('pause_until')}: nothing is delivered")
    remedy = f"`nats consumer edit {EVENTS_STREAM} {CONSUMER}`, or delete it and start the indexer again"
    return lines + [f"consumer {CONSUMER}: {one}; {remedy}" for one in problems]
