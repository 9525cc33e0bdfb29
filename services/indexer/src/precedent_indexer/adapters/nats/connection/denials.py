"""What the server refuses: it says so beside an operation, and never as the answer to it."""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import structlog

from precedent_indexer.errors import NotPermitted

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

_DENIED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_TELLING_TOKENS: Final = 5
"""Tokens of a subject that tell one kind of operation from another; acknowledgements differ in those behind them."""


class Denials:
    """Ends what waits for an operation that the server has refused, and says the others once in the log.

    Attributes:
        aloud: whether the log also says what somebody is told: of a service, who is told is somewhere else.
    """

    def __init__(self, inbox_prefix: str) -> None:
        """`inbox_prefix`: where the answers to all that waits would arrive."""
        self._inbox_prefix = inbox_prefix
        self._waiting: dict[asyncio.Future[NotPermitted], str] = {}
        self._unheard: set[str] = set()
        self._said: set[str] = set()
        self.aloud = False

    def take(self, error: Exception) -> bool:
        """Note an error of the connection; whether it was a refusal."""
        denied = _DENIED.search(str(error))
        if denied is None:
            return False
        operation, subject = denied[1].lower(), denied[2]
        deaf = operation == "subscription" and subject.lower().startswith(self._inbox_prefix.lower())
        refusal = deaf_at(self._inbox_prefix) if deaf else _refusal(operation, subject)
        if operation == "subscription":
            self._unheard.add(subject.lower())
        # Who subscribes asks, or waits for an answer.
        told = operation == "subscription"
        for waiting, asked in self._waiting.items():
            if not waiting.done() and (deaf or (operation == "publish" and asked.lower() == subject.lower())):
                waiting.set_result(refusal)
                told = True
        if self.aloud or not told:
            self._say(operation, subject, refusal)
        return True

    def _say(self, operation: str, subject: str, refusal: NotPermitted) -> None:
        kind = f"{operation} {'.'.join(subject.split('.')[:_TELLING_TOKENS])}"
        if kind not in self._said:
            self._said.add(kind)
            log.error("nats_denied", detail=str(refusal))

    async def unless_denied(self, subject: str, work: Coroutine[Any, Any, Result]) -> Result:
        """Do `work`, which sends on `subject` and waits for an answer.

        Raises:
            NotPermitted: the server does not let us send there, or hear answers.
        """
        task = asyncio.ensure_future(work)
        denied: asyncio.Future[NotPermitted] = asyncio.get_running_loop().create_future()
        self._waiting[denied] = subject
        try:
            either: set[asyncio.Future[Any]] = {task, denied}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise denied.result()
            return task.result()
        finally:
            del self._waiting[denied]
            denied.cancel()
            task.cancel()
            task.add_done_callback(noticed)

    def forget(self, subject: str) -> None:
        """Before a subscription: what was refused earlier may be permitted by now."""
        self._unheard.discard(subject.lower())

    def check_heard(self, *subjects: str) -> None:
        """After subscriptions that the server has had the time to refuse.

        Raises:
            NotPermitted: it has refused one.
        """
        for subject in subjects:
            if subject.lower() in self._unheard:
                inbox = subject.startswith(self._inbox_prefix)
                raise deaf_at(self._inbox_prefix) if inbox else _refusal("subscription", subject)


def deaf_at(inbox_prefix: str) -> NotPermitted:
    """What to say where no answer can be heard."""
    return NotPermitted(
        f"these credentials may not subscribe to {inbox_prefix}.>: "
        "set NATS_INBOX_PREFIX to the prefix that their role on the server has"
    )


def noticed(task: asyncio.Future[Any]) -> None:
    """Look at the exception of a task that nobody waits for any more, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()


def _refusal(operation: str, subject: str) -> NotPermitted:
    doing = "publish on" if operation == "publish" else "subscribe to"
    return NotPermitted(
        f"these credentials may not {doing} {subject}: use those of a role that may, or permit it on the server"
    )
