"""Commands that change what is known: publish, outcome, delete."""

import dataclasses
import sys
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import BaseModel

from precedent_backend_adapter.cli.arguments import values
from precedent_backend_adapter.cli.arguments.options import DEFAULT_COLLECTION, Collection
from precedent_backend_adapter.cli.command import FAILED, REFUSED, USAGE, Session, Stop, command, exit_code
from precedent_backend_adapter.cli.display import wording
from precedent_backend_adapter.cli.display.tables import cell
from precedent_backend_adapter.cli.display.text import safe
from precedent_backend_adapter.errors import NotPermitted, PrecedentError, invalid
from precedent_backend_adapter.events import SecurityEvent
from precedent_backend_adapter.receipts import Receipt
from precedent_schemas import DecodeError, Outcome, Verdict
from precedent_schemas.codec import validate

LONGEST_WAIT_S: Final = 30.0
_ERASING_S: Final = 120.0
"""Each revision that is erased from the log costs some milliseconds."""
_FROM_STDIN: Final = "-"

Model = TypeVar("Model", bound=BaseModel)

At = Annotated[str | None, typer.Option("--at", metavar="WHEN", help="When; else now.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Also until the index has it; asks it, so it takes the right to search.")
]


commands = typer.Typer()


@command(commands, "publish")
async def publish(
    session: Session,
    *,
    kind: Annotated[str, typer.Argument(help="General to particular, as in auth.brute_force.", metavar="KIND")],
    text: Annotated[
        str,
        typer.Argument(help="What happened; - reads it from stdin.", metavar="TEXT"),
    ],
    collection: Collection = DEFAULT_COLLECTION,
    id: Annotated[str | None, typer.Option("--id", help="Replaces the event that has it; else drawn.")] = None,  # noqa: A002 -- the field's name
    severity: Annotated[
        str, typer.Option("--severity", metavar="1..5", help="5 is critical; or a word, as in high.")
    ] = "1",
    source: Annotated[str | None, typer.Option("--source", help="Which service says so.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="The user concerned.")] = None,
    ip: Annotated[str | None, typer.Option("--ip", help="The address concerned.")] = None,
    at: At = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            "-a",
            metavar="KEY=VALUE",
            help="Own data, again for more; code=4625 is a string, code:=4625 a number.",
        ),
    ] = None,
    wait: Wait = False,
) -> None:
    """Publish one event. Ends once the log has it; with --wait, once it can be found."""
    fields: dict[str, Any] = {
        "kind": kind,
        "text": _from_stdin() if text == _FROM_STDIN else text,
        "collection": collection,
        "id": id,
        "severity": severity,
        "source": source,
        "user": user,
        "ip": ip,
        "occurred_at": None if at is None else values.moment("at", at),
        "attributes": values.attributes(attribute or ()),
    }
    receipt = await session.client.publish(_checked(SecurityEvent, fields))
    session.out.show(dataclasses.asdict(receipt), cell(f"stored {receipt.id} in {collection} at {receipt.seq}"))
    if wait:
        await _found(session, receipt)


@command(commands, "outcome")
async def outcome(
    session: Session,
    *,
    event_id: Annotated[str, typer.Argument(help="The event decided about.", metavar="ID")],
    verdict: Annotated[Verdict, typer.Argument(help="What was decided.")],
    collection: Collection = DEFAULT_COLLECTION,
    mitigation: Annotated[str | None, typer.Option("--mitigation", help="What was done about it.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Why.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who decided.")] = None,
    at: At = None,
    force: Annotated[bool, typer.Option("--force", help="Without asking whether the event is there.")] = False,
    wait: Wait = False,
) -> None:
    """Publish what was decided. The latest outcome is shown with its event everywhere."""
    decided = None if at is None else values.moment("at", at)
    fields = {"event_id": event_id, "verdict": verdict, "mitigation": mitigation, "note": note, "by": by}
    about = _checked(Outcome, {**fields, "decided_at": decided})
    if not force:
        await _check_event(session, event_id, collection)
    receipt = await session.client.publish_outcome(about, collection=collection)
    done = f"stored the outcome of {event_id} in {collection} at {receipt.seq}"
    session.out.show(dataclasses.asdict(receipt), cell(done))
    if wait:
        await _found(session, receipt)


@command(commands, "delete")
async def delete(
    session: Session,
    *,
    ids: Annotated[list[str], typer.Argument(help="Events to remove, at most 1000.", metavar="ID...")],
    collection: Collection = DEFAULT_COLLECTION,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without asking.")] = False,
) -> int:
    """Remove events for good. From the index and from the log, with all their revisions and outcomes."""
    if not yes and not confirmed(_question(ids, collection)):
        raise Stop("nothing was deleted: it was not confirmed; --yes does not ask", FAILED)
    reply = await session.client.delete(ids, collection=collection, timeout=_ERASING_S)
    gone = f"deleted {len(reply.deleted)} of {collection}"
    session.out.show(reply, cell(gone + _missing(reply.missing)))
    return REFUSED if reply.missing else 0


async def _check_event(session: Session, event_id: str, collection: str) -> None:
    try:
        reply = await session.client.get([event_id], collection=collection)
    except NotPermitted as error:
        remedy = "--force publishes without asking whether the event is there"
        raise Stop(f"{error}; {remedy}", exit_code(error)) from error
    if reply.missing:
        behind = reply.stream_seq - reply.indexed_seq
        coming = f" ({wording.count(behind, 'message')} of the log still to be indexed)" if behind > 0 else ""
        message = f"{collection} has no event {event_id!r}{coming}: nothing was published"
        raise Stop(f"{message}; --force publishes the outcome all the same", REFUSED)


async def _found(session: Session, receipt: Receipt) -> None:
    try:
        await session.client.search("anything", collection=receipt.collection, k=1, after=receipt, wait=LONGEST_WAIT_S)
    except PrecedentError as error:
        raise Stop(f"it is stored, at {receipt.seq}, but --wait failed: {error}", exit_code(error)) from error


def _from_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        message = f"the text on stdin is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        raise Stop(f"{message}; convert it with iconv -t UTF-8", USAGE) from error


def confirmed(question: str) -> bool:
    """Whether the person at the terminal says yes."""
    # The library's own prompt writes a blank to stdout, where only the answer belongs.
    typer.echo(f"{question} [y/N] ", nl=False, err=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _question(ids: list[str], collection: str) -> str:
    what = repr(safe(ids[0])) if len(ids) == 1 else f"{len(ids)} events"
    return f"Delete {what} of {safe(collection)} for good, from the index and from the log?"


def _missing(ids: list[str]) -> str:
    return f"; not there: {', '.join(ids)}" if ids else ""


def _checked(model: type[Model], fields: dict[str, Any]) -> Model:
    try:
        return validate(model, {name: value for name, value in fields.items() if value is not None})
    except DecodeError as error:
        raise invalid(error.problems) from error
