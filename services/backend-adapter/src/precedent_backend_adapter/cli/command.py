"""What every command does around its work: connect, give up in one line, end with the right code."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

import typer

from precedent_backend_adapter.cli import settings
from precedent_backend_adapter.cli.arguments.options import CONNECTION, FILTER, filter_of
from precedent_backend_adapter.cli.arguments.texts import TextCommand
from precedent_backend_adapter.cli.display.output import Output
from precedent_backend_adapter.cli.display.text import safe
from precedent_backend_adapter.config import OutboxConfig
from precedent_backend_adapter.errors import (
    Misconfigured,
    NotDelivered,
    NotDeliveredReason,
    NotTrusted,
    PrecedentError,
    Refused,
)
from precedent_backend_adapter.interface import PrecedentClient
from precedent_schemas.failures import ErrorReason

FAILED: Final = 1
"""Nothing is wrong with the command; later it may succeed."""
USAGE: Final = 2
"""An argument or a setting is wrong."""
REFUSED: Final = 3
"""Something is not there, or was refused; trying again does not help before somebody has changed something."""
INTERRUPTED: Final = 130

_FINAL: Final = (NotDeliveredReason.NOT_PERMITTED, NotDeliveredReason.TOO_LARGE, NotDeliveredReason.REJECTED)

Connect = Callable[
    [str | None, str | None, OutboxConfig | None], AbstractAsyncContextManager[tuple[PrecedentClient, str]]
]
"""From `--server`, `--context` and an outbox to a client and the name of what it is connected to."""
Work = Callable[..., Awaitable[int | None]]
LocalWork = Callable[..., int | None]


class Stop(Exception):
    """The command cannot go on; the message is its last line."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Session:
    """What the work of a command has at hand."""

    client: PrecedentClient
    out: Output
    where: str


def command(
    app: typer.Typer, name: str, *, filtered: bool = False, outbox: str | None = None
) -> Callable[[Work], Work]:
    """Make a command of a coroutine function that takes a `Session` and gives an exit code or None.

    Its keyword-only parameters are the command's own; those of the connection come on top, and where it is
    `filtered` also those of a filter, which it then takes as `filter`. The one that `outbox` names is the file of an
    outbox that the client has.
    """

    def register(work: Work) -> Work:
        def run(**given: Any) -> None:  # noqa: ANN401 -- as the options say
            connect = given.pop("ctx").obj or settings.connected
            kept = None if outbox is None else OutboxConfig(path=given[outbox])
            _run(work, connect, given, filtered=filtered, outbox=kept)

        shared = {**(FILTER if filtered else {}), **CONNECTION}
        _register(app, name, work, run, shared, without=("session", "filter"))
        return work

    return register


def local_command(app: typer.Typer, name: str) -> Callable[[LocalWork], LocalWork]:
    """Make a command of a function that takes an `Output` and gives an exit code or None, and connects to nothing."""

    def register(work: LocalWork) -> LocalWork:
        def run(**given: Any) -> None:  # noqa: ANN401 -- as the options say
            del given["ctx"]
            out = Output(json=given.pop("json"))
            _ending(lambda: work(out, **given))

        _register(app, name, work, run, {"json": CONNECTION["json"]}, without=("out",))
        return work

    return register


def _register(
    app: typer.Typer,
    name: str,
    work: Callable[..., Any],
    run: Callable[..., None],
    shared: Mapping[str, tuple[Any, Any]],
    *,
    without: Collection[str],
) -> None:
    own = [one for one in inspect.signature(work).parameters.values() if one.name not in without]
    first = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [first, *own] + [
        inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for one, (annotation, default) in shared.items()
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__doc__ = work.__doc__
    app.command(name, cls=TextCommand)(run)


def _run(work: Work, connect: Connect, given: dict[str, Any], *, filtered: bool, outbox: OutboxConfig | None) -> None:
    out = Output(json=given.pop("json"))
    server, context = given.pop("server"), given.pop("context")

    async def all_of_it() -> int | None:
        if filtered:
            given["filter"] = filter_of(given)
        async with connect(server, context, outbox) as (client, where):
            return await work(Session(client, out, where), **given)

    _ending(lambda: asyncio.run(all_of_it()))


def _ending(work: Callable[[], int | None]) -> None:
    try:
        code = work()
    except Stop as stop:
        raise _ended(str(stop), stop.code) from stop
    except PrecedentError as error:
        raise _ended(str(error), exit_code(error)) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error
    raise typer.Exit(code or 0)


def _ended(message: str, code: int) -> typer.Exit:
    # One line, whatever the message quotes.
    typer.echo(f"precedent: {safe(message)}", err=True)
    return typer.Exit(code)


def exit_code(error: PrecedentError) -> int:
    """What a command ends with that fails by `error`."""
    match error:
        case NotTrusted():
            return REFUSED
        case Misconfigured():
            return USAGE
        case NotDelivered():
            return REFUSED if error.reason in _FINAL else FAILED
        case Refused():
            return USAGE if error.reason == ErrorReason.INVALID_REQUEST else REFUSED
    return FAILED
