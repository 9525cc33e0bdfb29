"""Saved streams are whole, and come back as they were."""

import os
from pathlib import Path

import pytest
from nats.js.api import ConsumerConfig

from harness.nats_server import NatsServer
from harness.stream_backup import StreamBackupFailed, back_up_stream, restore_stream
from harness.wire import Wire


async def test_a_stream_comes_back_on_another_server(tmp_path: Path) -> None:
    """Messages, sequences, times and the consumer are what they were, over many chunks; only its creation is new."""
    with NatsServer(tmp_path / "one") as one, NatsServer(tmp_path / "other") as other:
        async with Wire.connected(one.url) as wire:
            stream = wire.client.jetstream()
            await stream.add_stream(name="S", subjects=["s.*"], allow_direct=True)
            bodies = [os.urandom(100_000) for _ in range(20)]
            for body in bodies:
                await stream.publish("s.one", body)
            await stream.delete_msg("S", 3)
            await stream.add_consumer("S", ConsumerConfig(durable_name="c", metadata={"of": "us"}))
            info = await wire.api("STREAM.INFO.S")
            stored = await wire.stored(7, stream="S")
            state = await back_up_stream(wire.client, "S", tmp_path / "saved")
        assert state["messages"] == 19
        async with Wire.connected(other.url) as wire:
            await restore_stream(wire.client, tmp_path / "saved")
            again = await wire.api("STREAM.INFO.S")
            assert again["created"] > info["created"]
            for name in ("first_seq", "last_seq", "messages", "num_deleted"):
                assert again["state"][name] == info["state"][name]
            assert await wire.stored(7, stream="S") == stored
            assert stored is not None
            assert stored.data == bodies[6]
            assert (await wire.api("CONSUMER.INFO.S.c"))["config"]["metadata"]["of"] == "us"
            with pytest.raises(StreamBackupFailed, match="in use"):
                await restore_stream(wire.client, tmp_path / "saved")


async def test_a_stream_that_is_not_there_is_said(tmp_path: Path) -> None:
    """The server's words are in the failure, and nothing is written."""
    with NatsServer(tmp_path / "one") as server:
        async with Wire.connected(server.url) as wire:
            with pytest.raises(StreamBackupFailed, match="stream not found"):
                await back_up_stream(wire.client, "S", tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
