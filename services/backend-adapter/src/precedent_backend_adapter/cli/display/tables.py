"""Answers as tables. Every cell goes through `safe`, and none is read as markup."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from precedent_backend_adapter.cli.display.text import cut, safe
from precedent_schemas import Entry, Hit, Outcome, RecurrenceReply, StatsReply, Summary
from precedent_schemas.dead_letters import DeadLetter
from precedent_schemas.fields import format_time

_BAR_CHARS = 30


def cell(value: object) -> Text:
    """One value as data; nothing where there is none."""
    return Text("" if value is None else safe(str(value)), overflow="fold")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> Table:
    """A table of plain values; the columns called `numbers` are flushed right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads:
        made.add_column(head, overflow="fold", justify="right" if head in numbers else "left")
    for row in rows:
        made.add_row(*(one if isinstance(one, Text) else cell(one) for one in row))
    return made


def entries(several: Iterable[Entry]) -> Table:
    """Events, one in a row; with their similarity where they are hits."""
    listed = list(several)
    scored = any(isinstance(one, Hit) for one in listed)
    heads = [*(["like"] if scored else []), "seq", "when", "kind", "sev", "user / ip", "id / text", "outcome"]
    return table(heads, (_row(one) for one in listed), numbers=("like", "seq", "sev"))


def _row(entry: Entry) -> list[object]:
    event = entry.event
    # The id comes first, so that no text can pose as the id of its event.
    about = _lines(Text(safe(event.id), style="bold"), cell(cut(event.text)))
    whose = _lines(*(cell(one) for one in (event.user, event.ip) if one is not None))
    row = [entry.seq, when(event.occurred_at), event.kind, event.severity, whose, about, outcome(entry.outcome)]
    return [f"{entry.similarity:.2f}", *row] if isinstance(entry, Hit) else list(row)


def whole(entry: Entry) -> Table:
    """Everything about one event."""
    fields = entry.event.model_dump(mode="json")
    attributes = fields.pop("attributes")
    rows = [(name, value) for name, value in fields.items() if value is not None]
    rows += [(f"attribute {name}", value) for name, value in attributes.items()]
    rows.append(("seq", entry.seq))
    if entry.outcome is not None:
        decided = entry.outcome.model_dump(mode="json", exclude={"event_id"}, exclude_none=True)
        rows += [(f"outcome {name}", value) for name, value in decided.items()]
    return pairs(rows)


def pairs(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values, without heads."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(cell(name), cell(value))
    return made


def outcome(decided: Outcome | None) -> Text:
    """What was decided, in a few words."""
    if decided is None:
        return Text("")
    return _lines(*(cell(cut(one)) for one in (decided.verdict, decided.mitigation, decided.by) if one is not None))


def summary(of: Summary) -> Text:
    """The hits of a search at a glance."""
    counted = [_counts("verdicts", of.verdicts), _counts("mitigations", of.mitigations)]
    seen = [f"seen from {when(of.first_seen)} to {when(of.last_seen)}"] if of.first_seen else []
    return cell("; ".join(one for one in [*counted, *seen] if one))


def covered(indexed_seq: int, stream_seq: int) -> Text:
    """How much of the log an answer stands on."""
    behind = "" if indexed_seq >= stream_seq else f", {stream_seq - indexed_seq} still to come"
    return cell(f"indexed up to {indexed_seq} of {stream_seq}{behind}")


def recurrence(reply: RecurrenceReply) -> Table:
    """How often, in each stretch of time."""
    most = max((one.count for one in reply.buckets), default=1)
    rows = [
        (when(one.start), one.count, one.users, one.ips, "#" * max(1, one.count * _BAR_CHARS // most))
        for one in reply.buckets
    ]
    return table(("from", "events", "users", "ips", ""), rows, numbers=("events", "users", "ips"))


def stats(reply: StatsReply) -> list[Table]:
    """The indexer and its collections."""
    about = {
        "version": reply.version,
        "up": f"{reply.uptime_seconds:.0f} s",
        "model": f"{reply.model.name} ({reply.model.fingerprint})",
        "log": f"{reply.stream.messages} messages, {reply.stream.bytes} bytes, last {reply.stream.last_seq}",
        "indexed up to": reply.indexed_seq,
        "to come": f"{reply.pending}, in hand {reply.ack_pending}, again {reply.redelivered}",
        "dead letters": reply.dead_letters,
    }
    counted = sorted((name, one.count) for name, one in reply.collections.items())
    return [pairs(about.items()), table(("collection", "events"), counted, numbers=("events",))]


def dead_letters(letters: Iterable[DeadLetter]) -> Table:
    """What was refused, one in a row."""
    rows = ((one.seq, when(one.dead_at), one.reason, one.subject, one.detail) for one in letters)
    return table(("seq", "when", "reason", "subject", "detail"), rows, numbers=("seq",))


def when(moment: datetime | None) -> str:
    """A moment to the second, in UTC."""
    return "" if moment is None else format_time(moment)[:19].replace("T", " ") + "Z"


def _lines(*parts: Text) -> Text:
    return Text("\n").join(parts)


def _counts(what: str, counts: Mapping[str, int]) -> str:
    return f"{what}: {', '.join(f'{count} {name}' for name, count in counts.items())}" if counts else ""
