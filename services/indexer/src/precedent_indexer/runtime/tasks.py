"""Groups of asyncio tasks that begin and end together."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def run_together(*parts: Coroutine[None, None, None]) -> None:
    """Run all `parts` at the same time; the first failure cancels the others and is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        await cancel_all(tasks)


async def cancel_all(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel all `futures` and return when each has ended; their exceptions are dropped."""
    some = list(futures)
    for one in some:
        one.cancel()
    await asyncio.gather(*some, return_exceptions=True)
