"""Events as blocks: a header, the text over the full width, and the id.

Nothing that a publisher wrote can pose as another part of a block: labels with blanks stand in quotes, and every line
of the text begins with a rule.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from precedent_backend_adapter.cli.display import wording
from precedent_backend_adapter.cli.display.text import cut, safe
from precedent_schemas import Entry, Hit

_SEVERITY_STYLES: Final = ("dim", "cyan", "yellow", "bold red", "bold white on red")
_VERDICT_STYLES: Final = {"true_positive": "bold red", "false_positive": "green", "benign": "green"}
_MARKED: Final = "bold underline"
_WIDE: Final = 100
"""Columns from which the score's bar has its full length."""
_GAP: Final = 2
_INDENT: Final = 2
_LEAST_TEXT: Final = 10
_WORD: Final = re.compile(r"\w(?:[\w.:@/-]*\w)?")
_FUNCTION_WORDS: Final = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "been", "by", "did", "do", "for", "from", "had", "has", "have", "if"}
    | {"in", "into", "is", "it", "its", "of", "on", "or", "our", "so", "that", "the", "their", "them", "then", "there"}
    | {"they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "with", "you"}
)


class Block:
    """One event, laid out in the width there is.

    Args:
        entry: the event; a hit has a score in front.
        words: of the question; they are marked in the text.
        now: what "ago" counts from.
    """

    def __init__(self, entry: Entry, words: Iterable[str], now: datetime) -> None:
        self._entry = entry
        self._words = list(words)
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Header, text and id."""
        yield from _filled(list(self._header(options)), options.max_width)
        rule = " " * _INDENT + ("| " if options.ascii_only else "│ ")
        width = max(options.max_width - len(rule), _LEAST_TEXT)
        for line in self._text().wrap(console, width, overflow="fold"):
            line.rstrip()
            yield Text.assemble((rule, "dim"), line)
        yield Text.assemble((" " * _INDENT + "id ", "dim"), (safe(self._entry.event.id), "bold"), overflow="fold")

    def _header(self, options: ConsoleOptions) -> Iterator[Text]:
        event = self._entry.event
        if isinstance(self._entry, Hit):
            yield _score(self._entry.similarity, options)
        yield Text(wording.severity(event.severity), style=_SEVERITY_STYLES[event.severity - 1])
        yield Text(f"{wording.when(event.occurred_at)}, {wording.ago(event.occurred_at, self._now)}")
        yield Text(event.kind, style="bold")
        for name, value in (("user", event.user), ("ip", event.ip)):
            if value is not None:
                yield Text.assemble((f"{name} ", "dim"), wording.label(value))
        outcome = self._entry.outcome
        style = "dim" if outcome is None else _VERDICT_STYLES.get(outcome.verdict, "")
        yield Text(wording.decision(outcome), style=style)

    def _text(self) -> Text:
        shown = Text(safe(cut(self._entry.event.text)))
        if self._words:
            either = "|".join(re.escape(word) for word in sorted(self._words, key=len, reverse=True))
            shown.highlight_regex(re.compile(rf"(?<!\w)(?:{either})s?(?!\w)", re.IGNORECASE), _MARKED)
        return shown


def words(question: str | None) -> list[str]:
    """The words of a question that are worth marking, each once."""
    found = dict.fromkeys(word.casefold() for word in _WORD.findall(question or ""))
    return [word for word in found if word not in _FUNCTION_WORDS]


def _score(similarity: float, options: ConsoleOptions) -> Text:
    length = 10 if options.max_width >= _WIDE else 5
    full, empty = ("#", "-") if options.ascii_only else ("█", "░")
    filled = round(max(similarity, 0.0) * length)
    return Text.assemble((full * filled, "green"), (empty * (length - filled), "dim"), f" {similarity:.2f}")


def _filled(parts: list[Text], width: int) -> Iterator[Text]:
    """Lines of whole parts; a part that is wider than a line is folded."""
    line = Text(overflow="fold")
    for part in parts:
        if line and cell_len(line.plain) + _GAP + cell_len(part.plain) > width:
            yield line
            line = Text(" " * _INDENT, overflow="fold")
        elif line:
            line.append(" " * _GAP)
        line.append_text(part)
    yield line
