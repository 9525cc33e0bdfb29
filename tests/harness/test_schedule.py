"""The soak reaches its end: what it makes the indexer read again is bounded, and every kind of mishap has its turn."""

import random

from harness.schedule import GROWTH, Mishap, Schedule

LENGTH = 20_000
FIRST_AT = 100


async def nothing() -> None:
    """Happens."""


MISHAPS = {
    "often": Mishap(nothing, weight=5),
    "seldom": Mishap(nothing),
    "reads all": Mishap(nothing, rereads=True),
    "reads some": Mishap(nothing, rereads=True),
    "reads anew": Mishap(nothing, rereads=True),
}


def test_what_is_read_again_is_a_few_times_the_log() -> None:
    """However often it is drawn; and each kind comes at least once."""
    schedule = Schedule(MISHAPS, random.Random(1), FIRST_AT)
    drawn = [(schedule.draw(length, caught_up=True), length) for length in range(LENGTH)]
    read_again = sum(length for name, length in drawn if MISHAPS[name].rereads)
    assert 0 < read_again <= LENGTH / (1 - 1 / GROWTH)
    assert {name for name, _ in drawn} == set(MISHAPS)


def test_nothing_is_read_again_before_the_index_has_caught_up() -> None:
    """Nor before the log has its first length."""
    schedule = Schedule(MISHAPS, random.Random(1), FIRST_AT)
    drawn = {schedule.draw(length, caught_up=length < FIRST_AT) for length in range(LENGTH)}
    assert drawn == {"often", "seldom"}
    assert MISHAPS[schedule.draw(LENGTH, caught_up=True)].rereads
