"""In the indexer's environment: what the start says of streams that are made with the settings on standard input.

Reads a JSON list of settings, each of which is given to the log besides what it must have, or in its place; writes a
list of what the indexer says of it: null where it starts, or the server's own refusal after `server: `.
"""

import asyncio
import json
import sys
from typing import Any

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.provision.streams import ensure_streams
from precedent_indexer.errors import JetStreamRefused, StartRefused
from precedent_indexer.settings import Settings
from precedent_schemas.streams import EVENTS_STREAM_CONFIG


async def said(bus: Bus, changes: dict[str, Any]) -> str | None:
    """What is said of a log with these settings."""
    name = EVENTS_STREAM_CONFIG["name"]
    config = {key: value for key, value in (EVENTS_STREAM_CONFIG | changes).items() if value is not None}
    try:
        # Some settings are for an edit alone.
        if changes.get("sealed"):
            await bus.api(f"STREAM.CREATE.{name}", EVENTS_STREAM_CONFIG)
            await bus.api(f"STREAM.UPDATE.{name}", config)
        else:
            await bus.api(f"STREAM.CREATE.{name}", config)
    except JetStreamRefused as error:
        return f"server: {error}"
    try:
        await ensure_streams(bus)
    except StartRefused as error:
        return str(error)
    finally:
        await bus.api(f"STREAM.DELETE.{name}")
    return None


async def main() -> None:
    """One after the other."""
    bus = await Bus.connect(Settings(), "stream-settings")
    json.dump([await said(bus, one) for one in json.load(sys.stdin)], sys.stdout)
    await bus.close()


asyncio.run(main())
