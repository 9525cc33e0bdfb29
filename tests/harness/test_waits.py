"""Waiting ends when the condition holds, and says what was last seen where it does not."""

from __future__ import annotations

import asyncio

import pytest

from harness.waits import eventually


async def test_eventually_returns_the_value_once_it_holds() -> None:
    """Attempts go on until the probe stops raising, and its value is handed back."""
    attempts = 0

    async def third_time() -> int:
        nonlocal attempts
        attempts += 1
        assert attempts >= 3
        return attempts

    assert await eventually(third_time, timeout=10, interval=0.001) == 3


async def test_eventually_reports_the_last_failure() -> None:
    """The final error names the probe and what it said last, and is chained to it."""
    attempts = 0

    def never() -> None:
        nonlocal attempts
        attempts += 1
        raise AssertionError(f"seen {attempts}")

    with pytest.raises(AssertionError, match=r"never did not hold within 0\.05 s") as failure:
        await eventually(never, timeout=0.05, interval=0.01)
    assert f"({attempts} attempts); last failure: AssertionError: seen {attempts}" in str(failure.value)
    assert isinstance(failure.value.__cause__, AssertionError)


async def test_eventually_bounds_each_attempt() -> None:
    """A hanging attempt is a failed one: the next gets its chance."""
    attempts = 0

    async def hangs_once() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.Event().wait()
        return "done"

    assert await eventually(hangs_once, timeout=30, attempt_timeout=0.05) == "done"


async def test_eventually_says_that_the_attempt_hung_and_what_failed_before() -> None:
    """When the last attempt hangs, the failure before it is not lost."""
    attempts = 0

    async def fails_then_hangs() -> None:
        nonlocal attempts
        attempts += 1
        assert attempts > 1, "count is 7"
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match=r"took longer than .* before that: AssertionError: count is 7"):
        await eventually(fails_then_hangs, timeout=0.2, interval=0.01)


@pytest.mark.parametrize("error", [TimeoutError, KeyError])
async def test_eventually_raises_at_once_what_it_was_not_told_to_expect(error: type[Exception]) -> None:
    """An unexpected exception, a timeout of the probe's own included, is a defect and ends the wait."""
    attempts = 0

    def broken() -> None:
        nonlocal attempts
        attempts += 1
        raise error

    with pytest.raises(error):
        await eventually(broken, timeout=30)
    assert attempts == 1


async def test_eventually_retries_the_exceptions_it_is_given() -> None:
    """The caller says what means "not yet"."""
    answers = iter([KeyError("a"), OSError("b"), None])

    def probe() -> str:
        if (answer := next(answers)) is not None:
            raise answer
        return "held"

    assert await eventually(probe, timeout=30, interval=0.001, exceptions=(KeyError, OSError)) == "held"


async def test_eventually_refuses_a_probe_without_assertion() -> None:
    """A probe that returns False would pass unseen, so it is an error."""
    with pytest.raises(TypeError, match="state the condition with assert"):
        await eventually(lambda: 1 > 2, timeout=30)  # noqa: PLR0133 (the mistake itself)
