"""The entry of the lease in a NATS key-value bucket; `nats kv get PRECEDENT_LEASES indexer` shows it."""

import base64
import json
from dataclasses import asdict
from typing import Any, Final

import structlog

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.domain.writers import Claim
from precedent_indexer.errors import (
    COMPARE_AND_SET_LOST,
    JetStreamCode,
    JetStreamRefused,
    NotPermitted,
    Outrun,
    StartRefused,
)
from precedent_schemas.limits import LEASES_BYTES
from precedent_schemas.subjects import LEASE_SUBJECT, LEASES_BUCKET, LEASES_STREAM

log = structlog.get_logger(__name__)

_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_CONFIG: Final[dict[str, Any]] = {
    "name": LEASES_STREAM,
    "subjects": [f"$KV.{LEASES_BUCKET}.>"],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "max_msgs_per_subject": 1,
    "max_bytes": LEASES_BYTES,
    "allow_rollup_hdrs": True,
    "deny_delete": True,
    "allow_direct": True,
}


async def ensure_bucket(bus: Bus, replicas: int) -> None:
    """Create the bucket if it is missing, with so many replicas; later the operator may change them.

    Raises:
        StartRefused: the bucket can neither be read nor created.
    """
    try:
        await bus.api(f"STREAM.INFO.{LEASES_STREAM}")
    except JetStreamRefused as error:
        if error.err_code != JetStreamCode.STREAM_NOT_FOUND:
            raise StartRefused(f"bucket {LEASES_BUCKET} cannot be looked at: {error}") from error
    else:
        return
    try:
        await bus.api(f"STREAM.CREATE.{LEASES_STREAM}", _CONFIG | {"num_replicas": replicas})
    except (JetStreamRefused, NotPermitted) as error:
        raise StartRefused(
            f"bucket {LEASES_BUCKET} is missing and cannot be created: {error}; "
            "create it with `precedent-indexer init` as a user who may"
        ) from error
    log.info("bucket_created", bucket=LEASES_BUCKET)


class LeaseEntry:
    """The `domain.writers.Entry` of the lease, in its bucket."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read(self) -> tuple[Claim | None, int]:
        """The claim and its revision, from the leader of the bucket's stream."""
        try:
            found = (await self._bus.api(f"STREAM.MSG.GET.{LEASES_STREAM}", {"last_by_subj": LEASE_SUBJECT}))["message"]
        except JetStreamRefused as error:
            if error.err_code == JetStreamCode.MESSAGE_NOT_FOUND:
                return None, 0
            raise
        try:
            claim = Claim(**json.loads(base64.b64decode(found.get("data") or "")))
        except (ValueError, TypeError):
            # Deleted by hand, or not written by an indexer: treated as no claim.
            claim = None
        return claim, int(found["seq"])

    async def put(self, claim: Claim, revision: int) -> int:
        """Replace the claim at `revision`; the new revision."""
        try:
            return await self._bus.publish_to_stream(
                LEASE_SUBJECT, json.dumps(asdict(claim)).encode(), {_EXPECTED: str(revision)}
            )
        except JetStreamRefused as error:
            if error.err_code in COMPARE_AND_SET_LOST:
                raise Outrun(f"the entry in {LEASES_BUCKET} was changed since revision {revision}") from error
            raise
