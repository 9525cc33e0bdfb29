"""In the indexer's environment: what the start says of streams that are made with the settings on standard input.

Reads a JSON list of settings, each of which is given to the log besides what it must have, or in its place; writes a
list of what the indexer says of it: null where it starts, or the server's own refusal after `server: `.
"""

import asyncio
import json
import sys
from typing import Any, Final

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.provision.streams import ensure_streams
from precedent_indexer.errors import JetStreamRefused, StartRefused
from precedent_indexer.settings import Settings
from precedent_schemas.streams import EVENTS_STREAM_CONFIG

_NO_STORE: Final = 10049
_TRIES: Final = 100


async def created(bus: Bus, config: dict[str, Any]) -> None:
    """Make a stream, where the files of the one before may just be on their way out."""
    for _ in range(_TRIES):
        try:
            await bus.api(f"STREAM.CREATE.{config['name']}", config)
        except JetStreamRefused as error:
            if error.err_code != _NO_STORE:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def said(bus: Bus, changes: dict[str, Any]) -> str | None:
    """What is said of a log with these settings."""
    name = EVENTS_STREAM_CONFIG["name"]
    config = {key: value for key, value in (EVENTS_STREAM_CONFIG | changes).items() if value is not None}
    try:
        # Some settings are for an edit alone.
        if changes.get("sealed"):
            await created(bus, EVENTS_STREAM_CONFIG)
            await bus.api(f"STREAM.UPDATE.{name}", config)
        else:
            await created(bus, config)
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
