"""Waiting for a condition, never for an amount of time."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from typing import TYPE_CHECKING, TypeVar, cast, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@overload
async def eventually(
    probe: Callable[[], Awaitable[T]],
    *,
    timeout: float,  # noqa: ASYNC109 (as below)
    interval: float = ...,
    attempt_timeout: float = ...,
    exceptions: type[Exception] | tuple[type[Exception], ...] = ...,
) -> T: ...


@overload
async def eventually(
    probe: Callable[[], T],
    *,
    timeout: float,  # noqa: ASYNC109 (as below)
    interval: float = ...,
    attempt_timeout: float = ...,
    exceptions: type[Exception] | tuple[type[Exception], ...] = ...,
) -> T: ...


async def eventually(
    probe: Callable[[], T | Awaitable[T]],
    *,
    timeout: float,  # noqa: ASYNC109 (the deadline spans many attempts and ends in a message of its own)
    interval: float = 0.05,
    attempt_timeout: float = 5.0,
    exceptions: type[Exception] | tuple[type[Exception], ...] = AssertionError,
) -> T:
    """Call `probe` until it no longer raises, and return its value.

    Args:
        probe: Sync or async; states its condition with `assert`. Only an async probe can be interrupted when
            it hangs: a sync one runs in the event loop and must return promptly.
        timeout: Seconds for all attempts together. There is always at least one attempt.
        interval: Seconds between attempts.
        attempt_timeout: Seconds for each attempt; one that takes longer counts as a failure.
        exceptions: What means "not yet". Anything else is raised at once.

    Raises:
        AssertionError: The condition did not hold in time; the message carries the last failure.
        TypeError: The probe returned False, so it has probably forgotten its `assert`.
    """
    name = getattr(probe, "__qualname__", repr(probe))
    expected = exceptions if isinstance(exceptions, tuple) else (exceptions,)
    caught: tuple[type[Exception], ...] = (TimeoutError, *expected)
    deadline = time.monotonic() + timeout
    attempts = 0
    failure = ""
    while True:
        attempts += 1
        bound = max(min(attempt_timeout, deadline - time.monotonic()), interval)
        scope = asyncio.timeout(bound)
        try:
            async with scope:
                result = probe()
                value = cast("T", await result if inspect.isawaitable(result) else result)
        except caught as error:
            if scope.expired():
                # The last attempt may have been cut short; what failed before it says more.
                earlier = f"; before that: {failure}" if failure else ""
                reason = f"the attempt took longer than {bound:.3g} s{earlier}"
            elif isinstance(error, expected):
                reason = failure = f"{type(error).__name__}: {error}"
            else:
                raise
            if time.monotonic() + interval >= deadline:
                message = f"{name} did not hold within {timeout:g} s ({attempts} attempts)"
                raise AssertionError(f"{message}; last failure: {reason}") from error
        else:
            if value is False:
                raise TypeError(f"{name} returned False; state the condition with assert instead")
            return value
        await asyncio.sleep(interval)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago.

    Another process may take it first. Where a server can choose its own port (port 0 or -1), let it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
