"""The verdict of `health`, and the line that says why."""

import re
import socket
from typing import Any

import pytest

from fakes.bus import FakeBus
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.cli import health
from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import BusUnavailable, NotPermitted, StartDenied, StartRefused
from precedent_indexer.settings import Settings
from precedent_schemas import answers, catalogue, codec
from precedent_schemas.subjects import SERVICE_ERROR_CODE_HEADER, SERVICE_ERROR_HEADER

SETTINGS = Settings.model_construct(
    nats_url="nats://anna:s3cret@127.0.0.1:4222", precedent_health_max_lag=10, precedent_start_timeout_s=30.0
)
FAILED = {SERVICE_ERROR_CODE_HEADER: "503", SERVICE_ERROR_HEADER: "the log cannot be read"}
"""Headers of an answer that is an error."""


def stats(indexed: int, end: int, **more: Any) -> Packet:
    """The reply of a running indexer."""
    reply = answers.StatsReply(
        indexed_seq=indexed,
        stream_seq=end,
        model=answers.ModelDetails(name="m", fingerprint="f", runtime="r"),
        version="0",
        uptime_seconds=1,
        collections={},
        stream=answers.StreamState(last_seq=end, messages=end, bytes=1),
        pending=0,
        ack_pending=0,
        redelivered=0,
        dead_letters=3,
        **more,
    )
    return Packet("_INBOX.x", "", codec.encode(reply), {})


@pytest.mark.parametrize(
    ("answer", "healthy", "says"),
    [
        (stats(100, 100), True, "0 messages behind, 3 dead letters"),
        (stats(90, 100), True, "10 messages behind"),
        (stats(89, 100), False, "11 messages behind.*allowed are 10"),
        (stats(100, 100, state="serving"), True, "0 messages behind"),
        (
            stats(99, 100, state="unavailable", fault="the dead-letter stream is full"),
            False,
            "dead-letter stream is full",
        ),
        (stats(99, 100, state="stalled"), False, "stalled: no progress"),
        (stats(95, 100, state="catching_up"), False, "new and catching up with the log of 100 messages; 5 messages"),
        (stats(0, 5), False, "new and catching up with the log of 5 messages; 5 messages behind"),
        (stats(0, 0), True, "0 messages behind"),
        (stats(0, 5, state="unavailable", fault="the model fails"), False, "unavailable: the model fails"),
        (stats(0, 5, state="stalled"), False, "stalled"),
        (
            Packet(
                "_INBOX.x",
                "",
                b"{}",
                {SERVICE_ERROR_CODE_HEADER: "503", SERVICE_ERROR_HEADER: "the log cannot be read"},
            ),
            False,
            "log cannot be read",
        ),
        (BusUnavailable("no answer"), False, "no indexer answered on .*127.0.0.1:4222 in 2 s"),
    ],
)
async def test_verdicts(answer: object, healthy: bool, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Healthy within the allowed lag; unhealthy behind it, on an error, and where nobody answers; no secret is said."""
    bus = FakeBus()
    bus.answer(catalogue.STATS.subject, answer)

    async def connect(_settings: Settings, _name: str) -> FakeBus:
        return bus

    monkeypatch.setattr(Bus, "connect", connect)
    report = await health.check(SETTINGS, 2.0)
    assert report.healthy is healthy
    assert report.line.startswith("healthy: " if healthy else "unhealthy: ")
    assert re.search(says, report.line), report.line
    assert "s3cret" not in report.line


async def test_no_connection_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where NATS is not reached in the time given, the verdict says so instead of failing."""
    asked: list[float] = []

    async def connect(settings: Settings, _name: str) -> FakeBus:
        asked.append(settings.precedent_start_timeout_s)
        raise StartRefused("no connection to NATS")

    monkeypatch.setattr(Bus, "connect", connect)
    report = await health.check(SETTINGS, 2.0)
    assert (report.healthy, report.line) == (False, "unhealthy: no connection to NATS")
    assert asked == [2.0]


async def test_who_may_not_ask_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of another role says nothing about the indexer: the line is the denial, and the exit code is its own."""
    bus = FakeBus()
    bus.answer(catalogue.STATS.subject, NotPermitted("may not publish on it"))

    async def connect(_settings: Settings, _name: str) -> FakeBus:
        return bus

    async def refuse(_settings: Settings, _name: str) -> FakeBus:
        raise StartDenied("the credentials are not good there")

    monkeypatch.setattr(Bus, "connect", connect)
    report = await health.check(SETTINGS, 2.0)
    assert (report.healthy, report.code) == (False, 3)
    assert report.line == "unhealthy: it cannot be asked: may not publish on it"
    monkeypatch.setattr(Bus, "connect", refuse)
    report = await health.check(SETTINGS, 2.0)
    assert (report.healthy, report.code, report.line) == (False, 3, "unhealthy: the credentials are not good there")


async def test_a_missing_permission_is_no_reason_to_end_an_indexer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process would not have it either."""

    class Denied(FakeBus):
        async def ping_services(self, name: str, wait_s: float) -> list[dict[str, Any]]:
            raise NotPermitted(f"may not publish on $SRV.PING.{name}")

    async def connect(_settings: Settings, _name: str) -> FakeBus:
        return Denied()

    monkeypatch.setattr(Bus, "connect", connect)
    report = await health.check_alive(SETTINGS, 2.0)
    assert report.healthy
    assert "may not publish on $SRV.PING.indexer" in report.line


@pytest.mark.parametrize(
    ("hosts", "alive"), [(["other", socket.gethostname()], True), (["other"], False), ([None], False), ([], False)]
)
async def test_alive_is_who_answers_on_this_host(
    hosts: list[str | None], alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several indexers the one beside us counts; how far it lags is not asked."""
    bus = FakeBus()
    bus.services = [{"metadata": {"host": one} if one else None} for one in hosts]

    async def connect(_settings: Settings, _name: str) -> FakeBus:
        return bus

    monkeypatch.setattr(Bus, "connect", connect)
    assert (await health.check_alive(SETTINGS, 2.0)).healthy is alive
    assert bus.asked == []


async def test_an_outage_of_nats_is_no_reason_to_end_an_indexer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process would find NATS away as well."""

    async def connect(_settings: Settings, _name: str) -> FakeBus:
        raise StartRefused("no connection to NATS")

    monkeypatch.setattr(Bus, "connect", connect)
    report = await health.check_alive(SETTINGS, 2.0)
    assert (report.healthy, report.line) == (True, "alive as far as can be seen: no connection to NATS")
