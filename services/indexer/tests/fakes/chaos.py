"""Failures on order: every operation of a fake is counted, before and after its effect, and a plan says which fail."""

from collections.abc import Mapping
from enum import StrEnum


class Killed(BaseException):
    """The process dies here and now: no handler of the code under test catches it."""


class Doom(StrEnum):
    """What happens at a planned step."""

    FAULT = "fault"
    KILL = "kill"


class Chaos:
    """Counts steps; at a planned one the operation fails with its own kind of fault, or the process is killed."""

    def __init__(self, plan: Mapping[int, Doom] | None = None) -> None:
        self.plan = dict(plan or {})
        self.steps = 0
        self.struck: list[str] = []
        """The operations that failed, in order."""

    def step(self, operation: str, fault: Exception) -> None:
        """Come past one more point at which things go wrong."""
        self.steps += 1
        doom = self.plan.pop(self.steps, None)
        if doom is None:
            return
        self.struck.append(operation)
        if doom is Doom.KILL:
            raise Killed(operation)
        raise fault

    def strike_next(self, doom: Doom = Doom.FAULT, *, after: int = 0) -> None:
        """Plan a failure of the next step, or of one `after` it."""
        self.plan[self.steps + 1 + after] = doom


CALM = Chaos()
"""For tests in which nothing fails; never given a plan."""
