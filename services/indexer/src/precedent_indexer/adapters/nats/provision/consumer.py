"""The durable consumer on the server: created if it is missing, otherwise checked, and claimed for one index."""

import socket
from pathlib import Path
from typing import Any, Final

import structlog

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.deliveries import DIRECTORY_KEY, INDEX_UUID_KEY, INSTANCE_KEY
from precedent_indexer.adapters.nats.provision.streams import PING_WAIT_S, differences, forbidden_settings, refusal_of
from precedent_indexer.errors import JetStreamCode, JetStreamRefused, NotPermitted, StartRefused
from precedent_schemas.streams import CONSUMER_CONFIG
from precedent_schemas.subjects import CONSUMER, EVENTS_STREAM, SERVICE

log = structlog.get_logger(__name__)

_UNAVAILABLE: Final = 503
_TUNABLE: Final = frozenset({"max_ack_pending", "deliver_policy", "durable_name"})
"""Settings that may differ: where the consumer started, and how far the operator lets it run ahead."""
_FORBIDDEN_IN_CONSUMER: Final = {
    "backoff": "it overrides ack_wait",
    "filter_subject": "the indexer reads the whole log",
    "filter_subjects": "the indexer reads the whole log",
    "deliver_subject": "the indexer pulls",
    "headers_only": "events would arrive without their bodies",
}


class DurableConsumer:
    """The durable consumer, which delivers to one index in one process."""

    def __init__(self, bus: Bus, directory: Path | None = None) -> None:
        """`directory`: of the index on this host, noted with each claim so that the next start knows it."""
        self._bus = bus
        self._directory = directory

    @property
    def instance(self) -> str:
        """Name of this process in the consumer's metadata."""
        return self._bus.instance

    async def orphaned_index(self) -> str | None:
        """UUID of the index that the consumer feeds; None if there is no consumer, or no index has claimed it.

        Raises:
            StartRefused: the consumer's settings contradict the contract, or an indexer with that index is running.
        """
        found = await self._found()
        owner = found and _metadata(found).get(INDEX_UUID_KEY)
        if owner is None:
            return None
        running = await self._bus.ping_services(SERVICE, PING_WAIT_S)
        if any((one.get("metadata") or {}).get(INDEX_UUID_KEY) == owner for one in running):
            raise StartRefused(
                f"consumer {CONSUMER} feeds index {owner}, and an indexer with that index is running: "
                "one index has one writer; stop that indexer, or use another NATS account for this one"
            )
        return str(owner)

    async def last_directory(self) -> str | None:
        """Directory of the index that was claimed last, if that was on this host."""
        host, _, directory = _metadata(await self._found() or {}).get(DIRECTORY_KEY, "").partition(":")
        return directory if directory and host == socket.gethostname() else None

    async def ensure(self, *, index_uuid: str | None, after_seq: int) -> None:
        """Create the consumer, or check it, and claim it for this index and this process.

        Args:
            index_uuid: of the index that claims the consumer; None claims nothing (`init`).
            after_seq: a new consumer delivers the messages after this sequence.

        Raises:
            StartRefused: the consumer's settings contradict the contract, or it feeds another index.
        """
        found = await self._found()
        if found is None:
            await self.create(index_uuid=index_uuid, after_seq=after_seq)
            return
        if index_uuid is None:
            return
        owner = _metadata(found).get(INDEX_UUID_KEY, index_uuid)
        if owner != index_uuid:
            raise StartRefused(
                f"consumer {CONSUMER} feeds index {owner}, but PRECEDENT_CHROMA_PATH holds index {index_uuid}: "
                "set PRECEDENT_CHROMA_PATH to the directory of that index, or to an empty one, which goes on for it; "
                f"or, if it is lost, delete the consumer with `nats consumer rm {EVENTS_STREAM} {CONSUMER}`"
            )
        metadata = _metadata(found) | self._claim(index_uuid)
        await self._bus.api(
            f"CONSUMER.CREATE.{EVENTS_STREAM}.{CONSUMER}",
            {"stream_name": EVENTS_STREAM, "config": found | {"metadata": metadata}, "action": "update"},
        )

    async def create(self, *, index_uuid: str | None, after_seq: int) -> None:
        """Create the consumer; it delivers the messages after `after_seq`.

        Raises:
            StartRefused: the consumer cannot be created, or its stream is gone.
            JetStreamRefused: JetStream is unavailable just now.
        """
        config: dict[str, Any] = {"name": CONSUMER, **CONSUMER_CONFIG}
        if after_seq > 0:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": after_seq + 1}
        if index_uuid is not None:
            config["metadata"] = self._claim(index_uuid)
        try:
            await self._bus.api(
                f"CONSUMER.CREATE.{EVENTS_STREAM}.{CONSUMER}",
                {"stream_name": EVENTS_STREAM, "config": config, "action": "create"},
            )
        except (JetStreamRefused, NotPermitted) as error:
            if isinstance(error, JetStreamRefused) and error.code == _UNAVAILABLE:
                raise
            if isinstance(error, JetStreamRefused) and error.err_code == JetStreamCode.STREAM_NOT_FOUND:
                raise StartRefused(
                    f"stream {EVENTS_STREAM} was deleted: "
                    "start the indexer again, it makes the stream and an index for it"
                ) from error
            raise refusal_of(error)(
                f"consumer {CONSUMER} of stream {EVENTS_STREAM} is missing and cannot be created: {error}; "
                "create it with `precedent-indexer init` as a user who may"
            ) from error
        log.info("consumer_created", consumer=CONSUMER, after_seq=after_seq)

    async def _found(self) -> dict[str, Any] | None:
        """Settings of the consumer, checked; None if there is no consumer."""
        try:
            found: dict[str, Any] = (await self._bus.api(f"CONSUMER.INFO.{EVENTS_STREAM}.{CONSUMER}"))["config"]
        except JetStreamRefused as error:
            if error.err_code != JetStreamCode.CONSUMER_NOT_FOUND:
                raise StartRefused(f"consumer {CONSUMER} cannot be looked at: {error}") from error
            return None
        _check_consumer(found)
        return found

    def _claim(self, index_uuid: str) -> dict[str, str]:
        noted = {DIRECTORY_KEY: f"{socket.gethostname()}:{self._directory}"} if self._directory else {}
        return {INDEX_UUID_KEY: index_uuid, INSTANCE_KEY: self.instance, **noted}


def _metadata(found: dict[str, Any]) -> dict[str, str]:
    return found.get("metadata") or {}


def consumer_contradictions(found: dict[str, Any]) -> list[str]:
    """One line for each of its settings that contradicts what Precedent relies on."""
    wanted = {key: value for key, value in CONSUMER_CONFIG.items() if key not in _TUNABLE}
    return differences(wanted, found) + forbidden_settings(_FORBIDDEN_IN_CONSUMER, found)


def _check_consumer(found: dict[str, Any]) -> None:
    wrong = consumer_contradictions(found)
    if wrong:
        raise StartRefused(
            f"consumer {CONSUMER} of stream {EVENTS_STREAM} has settings that contradict what Precedent relies on:\n"
            + "\n".join(f"  {line}" for line in wrong)
            + f"\ndelete it with `nats consumer rm {EVENTS_STREAM} {CONSUMER}`: it is made again from the index"
        )
