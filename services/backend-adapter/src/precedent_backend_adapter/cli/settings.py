"""Where the command connects to: options, the environment and the `nats` command's contexts, in this order."""

import dataclasses
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from precedent_backend_adapter.cli import contexts
from precedent_backend_adapter.client import Precedent
from precedent_backend_adapter.config import Config, OutboxConfig
from precedent_backend_adapter.config.environment import config_from_environment, split_urls
from precedent_backend_adapter.errors import Misconfigured
from precedent_backend_adapter.interface import PrecedentClient
from precedent_schemas.servers import masked

_IDENTITY: Final = ("NATS_CREDS", "NATS_NKEY", "NATS_USER", "NATS_PASSWORD", "NATS_TOKEN")
_CONNECTION_NAME: Final = "precedent-cli"


def connection(environ: Mapping[str, str], server: str | None, context: str | None) -> tuple[list[str], Config]:
    """The servers and everything else.

    Args:
        environ: the process's environment.
        server: wins over every other URL.
        context: this context alone, without any variable; empty: no context at all; None: the variables, and for
            what they leave open the context that `NATS_CONTEXT` or `nats context select` chose.

    Raises:
        Misconfigured: with every problem.
    """
    chosen = contexts.selected(environ) if context is None else context
    said = contexts.variables(environ, chosen) if chosen else {}
    settings = said if context else _over(said, environ)
    if server is not None:
        # Checked by itself, so that an error does not name a variable that nobody set.
        settings = {**settings, "NATS_URL": ",".join(split_urls(server))}
    try:
        urls, config = config_from_environment(settings)
    except Misconfigured as error:
        if not chosen:
            raise
        raise Misconfigured([*error.found, f"of these, context {chosen!r} sets {', '.join(said)}"]) from error
    return urls, dataclasses.replace(config, name=_CONNECTION_NAME)


@asynccontextmanager
async def connected(
    server: str | None, context: str | None, outbox: OutboxConfig | None = None
) -> AsyncIterator[tuple[PrecedentClient, str]]:
    """A client and the masked name of what it is connected to, from this process's environment."""
    urls, config = connection(os.environ, server, context)  # noqa: TID251 -- this is the settings module
    config = dataclasses.replace(config, outbox=outbox)
    async with Precedent.connect(urls, config=config) as client:
        yield client, ",".join(masked(url) for url in urls)


def _over(context: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    given = {name: value for name, value in environ.items() if value}
    # Who we are is one thing: half of it from here and half from there would be nobody.
    dropped = _IDENTITY if any(name in given for name in _IDENTITY) else ()
    return {**{name: value for name, value in context.items() if name not in dropped}, **given}
