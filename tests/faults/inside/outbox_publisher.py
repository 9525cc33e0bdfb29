"""A backend with an outbox that publishes until it is killed; it runs in the adapter's own environment.

Usage: outbox_publisher.py URL OUTBOX LEDGER RUN COUNT. The id of every event whose publish returned is a line of
LEDGER, in this order for each of the workers; COUNT 0 publishes for ever.
"""

import asyncio
import os
import sys

from precedent_backend_adapter import Backoff, Config, OutboxConfig, Precedent, SecurityEvent, Timeouts

_WORKERS = 4


async def publish(precedent: Precedent, ledger: int, worker: str, count: int) -> None:
    """One event after the other."""
    number = 0
    while count == 0 or number < count:
        event_id = f"{worker}-{number}"
        text = f"failed login number {number} seen by worker {worker}"
        await precedent.publish(SecurityEvent(kind="fault", text=text, id=event_id))
        os.write(ledger, f"{event_id}\n".encode())
        number += 1


async def main(url: str, outbox: str, ledger: str, run: str, count: str) -> None:
    """Publish, and wait for the outbox where there is an end."""
    config = Config(
        outbox=OutboxConfig(path=outbox),
        timeouts=Timeouts(connect=1, publish_attempt=1),
        backoff=Backoff(first=0.02, cap=0.2),
    )
    written = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with Precedent.connect(url, config=config) as precedent, asyncio.TaskGroup() as workers:
        for worker in range(_WORKERS):
            workers.create_task(publish(precedent, written, f"{run}.{worker}", int(count)))
        if int(count):
            await precedent.flush()


asyncio.run(main(*sys.argv[1:]))
