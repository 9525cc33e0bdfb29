"""Answers as tables. Every cell goes through `safe`, and none is read as markup."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from precedent_backend_adapter.cli.display import wording
from precedent_backend_adapter.cli.display.text import safe
from precedent_schemas import Entry, StatsReply, Summary
from precedent_schemas.dead_letters import DeadLetter

_BAR_CHARS = 30
_WHOLE: Final = ("from", "when", "first seen", "last seen", "occurred at")
"""Columns of moments, which are not folded."""
_COUNTED: Final = {"count": "events", "users": "users", "ips": "addresses"}


class _Bar:
    """A share of the width there is, at least one character."""

    def __init__(self, share: float) -> None:
        self._share = share

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As many marks as the share of the width."""
        yield Text("#" * max(1, round(self._share * min(options.max_width, _BAR_CHARS))))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """It takes what is left, up to its full length."""
        return Measurement(1, min(options.max_width, _BAR_CHARS))


def cell(value: object) -> Text:
    """One value as data; nothing where there is none."""
    return Text("" if value is None else safe(str(value)), overflow="fold")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> Table:
    """A table of plain values; the columns called `numbers` are flushed right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads:
        made.add_column(head, overflow="fold", justify="right" if head in numbers else "left", no_wrap=head in _WHOLE)
    for row in rows:
        made.add_row(*(one if isinstance(one, Text | _Bar) else cell(one) for one in row))
    return made


def rows(heads: Sequence[str], several: Iterable[Sequence[object]]) -> Table:
    """Chosen fields of events, one event in a row."""
    return table([head.replace("_", " ") for head in heads], several, numbers=("similarity", "severity", "seq"))


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


def summary(of: Summary) -> Text:
    """The hits of a search at a glance."""
    verdicts = {wording.verdict(name): count for name, count in of.verdicts.items()}
    mitigations = {wording.label(name): count for name, count in of.mitigations.items()}
    counted = [_counts("decisions", verdicts), _counts("mitigations", mitigations)]
    seen = [f"seen from {wording.when(of.first_seen)} to {wording.when(of.last_seen)}"] if of.first_seen else []
    return cell("; ".join(one for one in [*counted, *seen] if one))


def covered(indexed_seq: int, stream_seq: int) -> Text:
    """How much of the log an answer stands on."""
    behind = "" if indexed_seq >= stream_seq else f", {stream_seq - indexed_seq} still to come"
    return cell(f"indexed up to {indexed_seq} of {stream_seq}{behind}")


def recurrence(buckets: Sequence[Mapping[str, Any]]) -> Table:
    """How often, in each stretch of time; users and addresses where they are counted."""
    most = max((one["count"] for one in buckets), default=1)
    counted = [(name, head) for name, head in _COUNTED.items() if all(name in one for one in buckets)]
    made = [
        (wording.when(one["start"]), *(one[name] for name, _ in counted), _Bar(one["count"] / most)) for one in buckets
    ]
    heads = [head for _, head in counted]
    return table(("from", *heads, ""), made, numbers=heads)


def stats(reply: StatsReply) -> list[Table]:
    """The indexer and its collections."""
    messages = wording.count(reply.stream.messages, "message")
    about = {
        "version": reply.version,
        "up": f"{reply.uptime_seconds:.0f} s",
        "model": f"{reply.model.name} ({reply.model.fingerprint})",
        "log": f"{messages}, {reply.stream.bytes} bytes, last {reply.stream.last_seq}",
        "indexed up to": reply.indexed_seq,
        "to come": f"{reply.pending}, in hand {reply.ack_pending}, again {reply.redelivered}",
        "dead letters": reply.dead_letters,
    }
    counted = sorted((name, one.count) for name, one in reply.collections.items())
    return [pairs(about.items()), table(("collection", "events"), counted, numbers=("events",))]


def dead_letters(letters: Iterable[DeadLetter]) -> Table:
    """What was refused, one in a row."""
    rows = ((one.seq, wording.when(one.dead_at), one.reason, one.subject, one.detail) for one in letters)
    return table(("seq", "when", "reason", "subject", "detail"), rows, numbers=("seq",))


def _counts(what: str, counts: Mapping[str, int]) -> str:
    return f"{what}: {', '.join(f'{count} {name}' for name, count in counts.items())}" if counts else ""
