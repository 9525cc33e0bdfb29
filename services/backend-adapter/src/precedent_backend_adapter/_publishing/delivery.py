"""Publish until the log has it or the deadline is over, and say truthfully which."""

import asyncio
import random
from collections.abc import Iterator
from typing import Final

from precedent_backend_adapter._publishing.publications import too_large
from precedent_backend_adapter._transport import Fault, FaultKind, Transport
from precedent_backend_adapter.config import Backoff, Timeouts
from precedent_backend_adapter.errors import DeliveryUnknown, NotDelivered, NotDeliveredReason, PrecedentError
from precedent_backend_adapter.receipts import Publication, Receipt
from precedent_schemas.limits import DUPLICATE_WINDOW_S

_REASONS: Final = {
    FaultKind.NOT_SENT: NotDeliveredReason.UNREACHABLE,
    FaultKind.NO_RESPONDERS: NotDeliveredReason.UNREACHABLE,
    FaultKind.BUSY: NotDeliveredReason.UNREACHABLE,
    FaultKind.CLOSED: NotDeliveredReason.UNREACHABLE,
    FaultKind.LOG_FULL: NotDeliveredReason.LOG_FULL,
    FaultKind.NOT_PERMITTED: NotDeliveredReason.NOT_PERMITTED,
    FaultKind.TOO_LARGE: NotDeliveredReason.TOO_LARGE,
}
_REMEDIES: Final = {
    FaultKind.NOT_SENT: "republish(error.pending) when the server is back",
    FaultKind.NO_RESPONDERS: "has `precedent-indexer init` or `serve` created the stream?",
    FaultKind.BUSY: "republish(error.pending) when the server has recovered",
    FaultKind.CLOSED: "open a new client, then republish(error.pending)",
    FaultKind.LOG_FULL: "make room: raise the stream's limits or free its disk, then republish(error.pending)",
    FaultKind.NOT_PERMITTED: "use credentials of a role that may publish there, or permit it on the server",
    FaultKind.TOO_LARGE: "shorten the text or the attributes",
}


class _TooLateError(Fault):
    """The deadline was over when the attempt began."""


async def deliver(transport: Transport, publication: Publication, timeouts: Timeouts, backoff: Backoff) -> Receipt:
    """Send `publication`, again and again with the same message id, within one deadline.

    Raises:
        NotDelivered: no attempt can have reached the log.
        DeliveryUnknown: one may have.
    """
    too_large(publication, transport.max_payload, "the server")
    deadline = asyncio.get_running_loop().time() + timeouts.publish
    faults: list[Fault] = []
    for pause in pauses(backoff):
        try:
            return await _attempt(transport, publication, deadline, timeouts.publish_attempt)
        except _TooLateError as fault:
            # What the attempts before it met says more.
            faults = faults or [fault]
            break
        except Fault as fault:
            faults.append(fault)
            if not fault.kind.worth_retrying:
                break
        if asyncio.get_running_loop().time() + pause >= deadline:
            break
        await asyncio.sleep(pause)
    error = verdict(publication, faults)
    raise error from error.__cause__


async def _attempt(transport: Transport, publication: Publication, deadline: float, longest: float) -> Receipt:
    # The deadline cuts the wait for a connection short, never an attempt: one that is cut has an unknown fate.
    try:
        async with asyncio.timeout_at(deadline):
            await transport.ready()
    except TimeoutError as error:
        raise Fault(FaultKind.NOT_SENT, "there was no connection to NATS until the deadline") from error
    left = deadline - asyncio.get_running_loop().time()
    if left <= 0:
        raise _TooLateError(FaultKind.NOT_SENT, "the deadline was over before it could be sent")
    ack = await transport.publish(
        publication.subject, publication.payload, publication.headers, seconds=min(longest, left)
    )
    return Receipt(publication.id, publication.collection, ack.seq, ack.duplicate)


def pauses(backoff: Backoff) -> Iterator[float]:
    bound = backoff.first
    while True:
        # At random over the whole width: publishers that were cut off together do not come back together.
        yield random.uniform(0, min(bound, backoff.cap))  # noqa: S311 -- spreads load, guards nothing
        bound = min(bound * 2, backoff.cap)


def verdict(publication: Publication, faults: list[Fault]) -> PrecedentError:
    what = f"{publication.id!r} of {publication.collection!r}"
    tries = f"after {len(faults)} attempt{'s' if len(faults) > 1 else ''}"
    last = faults[-1]
    error: PrecedentError
    # One attempt of unknown fate makes the call's fate unknown, whatever a later one was told.
    unknown = next((fault for fault in reversed(faults) if fault.kind.may_have_arrived), None)
    if unknown is not None:
        remedy = f"republish(error.pending) within {DUPLICATE_WINDOW_S} s stores it at most once"
        also = "" if unknown is last else f"; at last: {last}"
        error = DeliveryUnknown(f"{what} may or may not be in the log {tries}: {unknown}{also}; {remedy}", publication)
    else:
        reason = _REASONS.get(last.kind, NotDeliveredReason.REJECTED)
        remedy = _REMEDIES.get(last.kind, "the message above names what to change")
        error = NotDelivered(f"{what} is not in the log {tries}: {last}; {remedy}", reason, publication)
    error.__cause__ = last
    return error
