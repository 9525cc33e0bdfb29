"""What is edited on the server while the indexer runs is said, once, and until it is changed back."""

import pytest

from precedent_indexer.errors import BusUnavailable
from precedent_indexer.index.liveness import Liveness, State
from precedent_indexer.maintenance.settings_watch import SettingsWatch


class Edited:
    """A server whose settings are edited, and a clock."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.asked = 0
        self.now = 0.0
        self.fails = False
        self.liveness = Liveness()
        self.watch = SettingsWatch(self._changed, self.liveness, lambda: self.now)

    async def _changed(self) -> list[str]:
        self.asked += 1
        if self.fails:
            raise BusUnavailable("fake: not now")
        return self.lines

    async def look(self) -> tuple[State, str | None]:
        """Later; what is said then."""
        self.now += 60.0
        await self.watch.look()
        return self.liveness.state, self.liveness.says


async def test_a_contradiction_is_said_until_it_is_gone() -> None:
    """The state is `misconfigured` and the lines are shown; afterwards all is well again."""
    edited = Edited()
    assert await edited.look() == (State.SERVING, None)
    edited.lines = ["stream A: sealed is True", "stream A: no_ack is True"]
    assert await edited.look() == (State.MISCONFIGURED, "stream A: sealed is True; stream A: no_ack is True")
    edited.lines = []
    assert await edited.look() == (State.SERVING, None)


async def test_an_outage_says_more_than_a_contradiction() -> None:
    """What keeps the indexer from going on comes first, and the contradiction is shown again behind it."""
    edited = Edited()
    edited.lines = ["stream A: sealed is True"]
    await edited.look()
    edited.liveness.fault = "NATS or JetStream does not answer"
    assert (edited.liveness.state, edited.liveness.says) == (State.UNAVAILABLE, "NATS or JetStream does not answer")
    edited.liveness.hear()
    assert edited.liveness.state is State.MISCONFIGURED


async def test_the_server_is_asked_now_and_then() -> None:
    """Not with every look of the housekeeping; and a server that does not answer is asked again later."""
    edited = Edited()
    await edited.look()
    await edited.watch.look()
    assert edited.asked == 1
    edited.lines, edited.fails = ["stream A: sealed is True"], True
    with pytest.raises(BusUnavailable):
        await edited.look()
    edited.fails = False
    assert (await edited.look())[0] is State.MISCONFIGURED


async def test_many_lines_are_cut() -> None:
    """A stream of quite another make would fill the reply; the log has all of it."""
    edited = Edited()
    edited.lines = [f"stream A: line {number}" for number in range(9)]
    _, says = await edited.look()
    assert says is not None
    assert says.endswith("line 4; and 4 more, in the log")
