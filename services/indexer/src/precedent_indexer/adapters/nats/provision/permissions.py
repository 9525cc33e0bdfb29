"""Checks at the start that our credentials have every permission that serving needs.

Otherwise the first deletion or dead letter, perhaps weeks later, would find that a permission is missing, and block
everything after it.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.errors import BusUnavailable, StartDenied
from precedent_schemas.failures import DeadReason
from precedent_schemas.subjects import (
    CONSUMER,
    DEAD_LETTERS_STREAM,
    EVENTS_STREAM,
    INCIDENTS,
    LEASE_SUBJECT,
    LEASES_STREAM,
    REPLICAS_PREFIX,
    SERVICE,
    dead_letter_subject,
    deletion_subject,
    event_subject,
    outcome_subject,
)

log = structlog.get_logger(__name__)

_API: Final = "$JS.API."
_WHO_AM_I: Final = "$SYS.REQ.USER.INFO"
_PUBLISHED: Final = (
    *(f"$JS.API.STREAM.INFO.{stream}" for stream in (EVENTS_STREAM, DEAD_LETTERS_STREAM)),
    *(f"$JS.API.DIRECT.GET.{stream}" for stream in (EVENTS_STREAM, DEAD_LETTERS_STREAM)),
    *(f"$JS.API.STREAM.MSG.GET.{stream}" for stream in (EVENTS_STREAM, DEAD_LETTERS_STREAM)),
    *(f"$JS.API.STREAM.MSG.DELETE.{stream}" for stream in (EVENTS_STREAM, DEAD_LETTERS_STREAM)),
    f"$JS.API.STREAM.PURGE.{EVENTS_STREAM}",
    *(f"$JS.API.CONSUMER.{verb}.{EVENTS_STREAM}.{CONSUMER}" for verb in ("INFO", "CREATE", "DELETE", "MSG.NEXT")),
    f"$JS.ACK.{EVENTS_STREAM}.{CONSUMER}.1.1.1.1.0",
    f"$SRV.PING.{SERVICE}",
    deletion_subject(INCIDENTS),
    dead_letter_subject(None, DeadReason.MALFORMED),
    event_subject(INCIDENTS, "auth"),
    outcome_subject(INCIDENTS),
)
"""Subjects that the indexer publishes on; one collection that every log has stands for all."""


SHARED: Final = (
    *(f"$JS.API.STREAM.{verb}.{LEASES_STREAM}" for verb in ("INFO", "MSG.GET")),
    LEASE_SUBJECT,
    f"{REPLICAS_PREFIX}.{INCIDENTS}.delete.1",
)
"""Further subjects if several replicas share an index."""


async def check_permissions(bus: Bus, *, beside: Iterable[str] = ()) -> None:
    """Compare our permissions with what serving needs, and with the subjects in `beside`.

    Raises:
        StartDenied: something is missing; the message lists the subjects.
    """
    try:
        answer = json.loads((await bus.request(_WHO_AM_I)).data)
    except BusUnavailable as error:
        log.warning("permissions_unknown", detail=str(error))
        return
    publish = (answer.get("data", {}).get("permissions") or {}).get("publish") or {}
    missing = denied(
        [_of_domain(bus, one) for one in (*_PUBLISHED, *beside)], publish.get("allow"), publish.get("deny") or ()
    )
    if missing:
        raise StartDenied(
            "these credentials may not publish on\n"
            + "\n".join(f"  {subject}" for subject in missing)
            + "\nuse those of the indexer's role, or permit it on the server"
        )


def _of_domain(bus: Bus, subject: str) -> str:
    return bus.api_subject(subject.removeprefix(_API)) if subject.startswith(_API) else subject


def denied(subjects: Iterable[str], allow: Sequence[str] | None, deny: Sequence[str]) -> list[str]:
    """Those of `subjects` that may not be published on; if `allow` is None, every subject is allowed."""
    return [
        one
        for one in subjects
        if not (allow is None or any(_covers(pattern, one) for pattern in allow))
        or any(_covers(pattern, one) for pattern in deny)
    ]


def _covers(pattern: str, subject: str) -> bool:
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1] if len(tokens) >= len(wanted) else []
    return len(wanted) == len(tokens) and all(one in ("*", token) for one, token in zip(wanted, tokens, strict=True))
