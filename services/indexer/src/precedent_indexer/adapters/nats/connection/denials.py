"""Permission denials of the server, which arrive apart from the operation and never as its reply."""

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
"""Leading tokens of a subject that identify an operation; acknowledgements differ in later tokens."""


class Denials:
    """Ends the waits for operations that the server has denied, and logs the other denials once.

    Attributes:
        aloud: whether denials that a caller gets as an error are logged too. Those of a service are: its callers
            are elsewhere.
    """

    def __init__(self, inbox_prefix: str) -> None:
        """`inbox_prefix`: prefix of the reply subjects of every request."""
        self._inbox_prefix = inbox_prefix
        self._waiting: dict[asyncio.Future[NotPermitted], str] = {}
        self._unheard: set[str] = set()
        self._said: set[str] = set()
        self.aloud = False

    def take(self, error: Exception) -> bool:
        """Note an error of the connection; whether it was a denial."""
        denied = _DENIED.search(str(error))
        if denied is None:
            return False
        operation, subject = denied[1].lower(), denied[2]
        deaf = operation == "subscription" and subject.lower().startswith(self._inbox_prefix.lower())
        refusal = deaf_at(self._inbox_prefix) if deaf else _refusal(operation, subject)
        if operation == "subscription":
            self._unheard.add(subject.lower())
        # A denied subscription is reported by `check_heard`, or by the request that waits.
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
        """Run `work`, which publishes on `subject` and waits for a reply.

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
        """Forget an earlier denial before a new subscription, which may be permitted by now."""
        self._unheard.discard(subject.lower())

    def check_heard(self, *subjects: str) -> None:
        """Check subscriptions, after the server has had the time to deny them.

        Raises:
            NotPermitted: it has refused one.
        """
        for subject in subjects:
            if subject.lower() in self._unheard:
                inbox = subject.startswith(self._inbox_prefix)
                raise deaf_at(self._inbox_prefix) if inbox else _refusal("subscription", subject)


def deaf_at(inbox_prefix: str) -> NotPermitted:
    """The error if the credentials may not subscribe to their inbox."""
    return NotPermitted(
        f"these credentials may not subscribe to {inbox_prefix}.>: "
        "set NATS_INBOX_PREFIX to the prefix that their role on the server has"
    )


def noticed(task: asyncio.Future[Any]) -> None:
    """Read the exception of a task that no caller awaits any more, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()


def _refusal(operation: str, subject: str) -> NotPermitted:
    doing = "publish on" if operation == "publish" else "subscribe to"
    return NotPermitted(
        f"these credentials may not {doing} {subject}: use those of a role that may, or permit it on the server"
    )
