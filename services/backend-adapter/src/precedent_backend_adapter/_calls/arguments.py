"""Arguments of methods: durations, lists of ids, and the wait for a receipt."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from precedent_backend_adapter.config import is_duration
from precedent_backend_adapter.errors import NotDeliveredYet, invalid
from precedent_backend_adapter.receipts import Receipt
from precedent_schemas import FieldProblem
from precedent_schemas.limits import DEFAULT_WAIT_MS

_MS: Final = 1_000
_WAIT_SHARE: Final = 0.5
"""The part of the caller's `timeout` that waiting for `after` may take, if the caller gave no `wait`."""
_LEAST_S: Final = 0.001


def seconds(name: str, value: float) -> float:
    """A duration above 0.

    Raises:
        Refused: it is none.
    """
    if not is_duration(value):
        raise invalid([FieldProblem(field=name, message=f"should be seconds above 0 (got {value!r:.60})")])
    return value


def several(name: str, values: Iterable[str] | Iterable[int]) -> list[Any]:
    """The values as a list.

    Raises:
        Refused: they are no series, or one string.
    """
    if isinstance(values, str | bytes):
        # A string is also a series of strings: its letters.
        message = f"should be a list (got {values!r:.60}): write [{values!r:.60}]"
        raise invalid([FieldProblem(field=name, message=message)])
    if not isinstance(values, Iterable):
        raise invalid([FieldProblem(field=name, message=f"should be a list (got {values!r:.60})")])
    return list(values)


def waits(
    wait: float | None, timeout: float | None, question_timeout: float, *, after: bool
) -> tuple[int | None, float | None]:
    """How long the indexer waits, in milliseconds, and how long the client does, in seconds: always longer.

    Args:
        wait: the caller's, in seconds.
        timeout: the caller's, in seconds.
        question_timeout: the client's setting, which holds without `timeout`.
        after: whether there is something to wait for.

    Raises:
        Refused: one is no duration, or `wait` is not shorter than `timeout`.
    """
    if wait is not None and (isinstance(wait, bool) or not isinstance(wait, int | float) or not wait >= 0):
        raise invalid([FieldProblem(field="wait", message=f"should be seconds from 0 to 30 (got {wait!r:.60})")])
    if timeout is None:
        waiting = (DEFAULT_WAIT_MS / _MS if wait is None else wait) if after else 0.0
        return None if wait is None else round(min(wait, _MS) * _MS), question_timeout + waiting
    longest = seconds("timeout", timeout)
    if wait is None:
        return (min(DEFAULT_WAIT_MS, int(longest * _WAIT_SHARE * _MS)) if after else None), longest
    if after and wait >= longest:
        message = f"should be longer than wait, which is {wait:g} s (got {longest:g})"
        raise invalid([FieldProblem(field="timeout", message=message)])
    return round(min(wait, _MS) * _MS), longest


async def delivered(receipt: Receipt, wait_ms: int | None, left: float | None) -> tuple[int, float | None]:
    """Wait until the outbox has delivered it; returns what then remains of both waits.

    Raises:
        NotDeliveredYet: it was not delivered within the wait.
        NotDelivered: the log refuses it.
    """
    clock = asyncio.get_running_loop().time
    begin, wait = clock(), DEFAULT_WAIT_MS if wait_ms is None else wait_ms
    try:
        async with asyncio.timeout(wait / _MS):
            await receipt.delivered()
    except TimeoutError as error:
        what = f"{receipt.id!r} of {receipt.collection!r}"
        raise NotDeliveredYet(f"{what} was not delivered from the outbox within {wait} ms; ask again later") from error
    spent = clock() - begin
    return max(0, wait - round(spent * _MS)), None if left is None else max(left - spent, _LEAST_S)
