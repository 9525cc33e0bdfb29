"""The command over a client in memory, in this process."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from typer.testing import CliRunner

from precedent_backend_adapter import OutboxConfig, PrecedentClient, SecurityEvent
from precedent_backend_adapter.cli.app import app
from precedent_backend_adapter.testing import InMemoryPrecedent

WHERE = "nats://in-memory:4222"


class Done:
    """What a run gave back."""

    def __init__(
        self, code: int, out: str, err: str, asked: list[tuple[str | None, str | None]], outboxes: list[OutboxConfig]
    ) -> None:
        self.code = code
        self.out = out
        self.err = err
        self.asked = asked
        self.outboxes = outboxes

    def json(self) -> Any:
        """Stdout, which is one JSON document on one line."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """Stdout, which is one JSON document on each line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(client: PrecedentClient, *arguments: str, stdin: str | bytes | None = None, where: str = WHERE) -> Done:
    """Run `precedent` with these arguments, connected to `client`."""
    asked: list[tuple[str | None, str | None]] = []
    outboxes: list[OutboxConfig] = []

    @asynccontextmanager
    async def connect(
        server: str | None, context: str | None, outbox: OutboxConfig | None
    ) -> AsyncIterator[tuple[PrecedentClient, str]]:
        asked.append((server, context))
        if outbox is not None:
            outboxes.append(outbox)
        yield client, where

    result = CliRunner().invoke(app, list(arguments), obj=connect, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr, asked, outboxes)


async def given(client: InMemoryPrecedent, *events: dict[str, Any]) -> None:
    """Publish these, with a kind and a text where they have none."""
    for fields in events:
        whole = {"kind": "auth.brute_force", "text": "many failed logins", **fields}
        await client.publish(SecurityEvent.model_validate(whole))
