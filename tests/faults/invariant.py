"""The one invariant of every fault test.

Every acknowledged event is in the index or in the dead letters, exactly once, with its latest content, and is found
by its own text; nothing that was deleted is back; and what the index says of itself is true.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import nats.errors

from faults.publishing import in_parallel
from harness.waits import eventually
from harness.wire import DEAD_LETTERS, LOG, AnsweredWithError, Stored, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from faults.ledger import Key, Ledger, Version

PATIENCE_S: Final = 90.0
_IDS_AT_ONCE: Final = 200
_QUESTIONS_AT_ONCE: Final = 8
_NEAREST: Final = 10
_SHOWN: Final = 5
_ENDED_TWICE: Final = "the process ended twice while this message was in hand"
_PASSING: Final = (AnsweredWithError, nats.errors.Error)


class InvariantBroken(AssertionError):
    """Something acknowledged is lost, doubled, wrong or back: never tried again, never excused by a slow machine."""


@dataclass
class Report:
    """What is wrong, by kind; nothing is wrong where `problems` is empty.

    Kinds: `lost`, `doubled`, `differing`, `unasked` (there, and nobody published it), `returned` (deleted, and back),
    `unfindable`, `miscounted`, `dishonest` (the index claims to cover what it lacks), `undead` (no dead letter),
    `dead_twice`, `wrongly_dead`.
    """

    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    events: int = 0
    dead_letters: int = 0
    blamed: int = 0
    """Dead letters of messages that were alone in hand at two kills: nobody can tell that it was not their doing."""

    def note(self, kind: str, *what: object) -> None:
        """One more of a kind."""
        self.problems[kind].append(" ".join(map(str, what)))

    def __str__(self) -> str:
        """Every kind with its number and a few examples."""
        lines = [f"{kind}: {len(found)}, such as {found[:_SHOWN]}" for kind, found in sorted(self.problems.items())]
        return "\n".join(lines) or f"{self.events} events, nothing wrong; {self.blamed} blamed for kills"


async def holds(wire: Wire, ledger: Ledger, *, patience: float = PATIENCE_S, questions: int | None = None) -> None:
    """Wait until the index covers the log, and check everything.

    Args:
        wire: how it is asked.
        ledger: what must be there.
        patience: seconds until the index covers the log.
        questions: how many events are looked for by their own text, drawn at random; all of them unless given.

    Raises:
        InvariantBroken: something is wrong; the message says what, with examples.
    """
    report = await examine(wire, ledger, patience=patience, questions=questions)
    if report.problems:
        raise InvariantBroken(f"the invariant is broken:\n{report}")


async def examine(wire: Wire, ledger: Ledger, *, patience: float = PATIENCE_S, questions: int | None = None) -> Report:
    """The same, as a report.

    Raises:
        AssertionError: the index did not cover the log in time.
    """
    report = Report()
    lies = await dishonest(wire, ledger, patience)
    last_seq: int = (await wire.api(f"STREAM.INFO.{LOG}"))["state"]["last_seq"]
    await _covered(wire, last_seq, patience)
    letters = [one async for one in _letters(wire)]
    blamed = {_original(one) for one in letters if one.headers["Precedent-Detail"] == _ENDED_TWICE}
    report.dead_letters = len(letters)
    report.blamed = len(blamed - ledger.refused.keys())
    lies = {seq: lie for seq, lie in lies.items() if seq not in blamed}
    ledger = ledger.without(blamed)
    report.events = len(ledger.events)
    for collection in ledger.collections():
        await _check_contents(wire, ledger, collection, report)
    lies |= await dishonest(wire, ledger, patience)
    for lie in lies.values():
        report.note("dishonest", lie)
    await _check_found(wire, ledger, report, questions)
    _check_dead_letters(letters, ledger, report)
    return report


async def dishonest(wire: Wire, ledger: Ledger, patience: float = PATIENCE_S) -> dict[int, str]:
    """Events at or below the `indexed_seq` of an answer that are not in it, by their sequence; however far it is."""
    lies: dict[int, str] = {}
    for collection in ledger.collections():
        standing = ledger.standing(collection)
        for part in _parts(sorted(standing), _IDS_AT_ONCE):
            reply = await _answer(wire, collection, "get", patience, ids=part)
            held = {entry["event"]["id"]: entry["seq"] for entry in reply["events"]}
            for one in part:
                claimed = standing[one].seq <= reply["indexed_seq"]
                if claimed and held.get(one, 0) < standing[one].seq:
                    said = f"indexed_seq {reply['indexed_seq']} covers {standing[one].seq}"
                    lies[standing[one].seq] = f"{one}: {said} but holds {held.get(one)}"
    return lies


async def _check_contents(wire: Wire, ledger: Ledger, collection: str, report: Report) -> None:
    """List everything and compare it with the ledger, each once and as it was last."""
    standing = ledger.standing(collection)
    listed = await _listed(wire, collection)
    times = Counter(entry["event"]["id"] for entry in listed)
    entries = {entry["event"]["id"]: entry for entry in listed}
    for one in standing.keys() - times.keys():
        report.note("lost", one, "of sequence", standing[one].seq)
    for one, count in times.items():
        if count > 1:
            report.note("doubled", one, "listed", count, "times")
        if one not in standing:
            _note_unasked(ledger, (collection, one), report)
    for one in standing.keys() & entries.keys():
        _compare(ledger, (collection, one), standing[one], entries[one], report)
    maybe = sum(name == collection and one in times for name, one in ledger.unsure)
    count = (await _answer(wire, collection, "stats"))["count"]
    if count != len(standing) + maybe:
        report.note("miscounted", collection, "says", count, "and must have", len(standing) + maybe)
    gone = [one for name, one in ledger.deleted if name == collection]
    for part in _parts(gone, _IDS_AT_ONCE):
        for entry in (await _answer(wire, collection, "get", ids=part))["events"]:
            report.note("returned", entry["event"]["id"], "is answered by get")


def _note_unasked(ledger: Ledger, key: Key, report: Report) -> None:
    if key in ledger.deleted:
        report.note("returned", key[1], "is listed")
    elif key not in ledger.unsure:
        report.note("unasked", key[1])


def _compare(ledger: Ledger, key: Key, wanted: Version, entry: dict[str, Any], report: Report) -> None:
    decision = ledger.decisions.get(key)
    verdict = (entry["outcome"] or {}).get("verdict")
    held = (entry["event"]["text"], entry["seq"], entry["event"]["severity"], verdict)
    must = (wanted.text, wanted.seq, wanted.severity, decision.verdict if decision else None)
    if held != must:
        report.note("differing", key[1], "is", held, "and must be", must)


async def _check_found(wire: Wire, ledger: Ledger, report: Report, at_most: int | None) -> None:
    """Ask for every event by its own text, and for every deleted one by the text that it had."""

    async def ask(key: Key, text: str, *, there: bool) -> None:
        reply = await _answer(wire, key[0], "search", text=text, k=_NEAREST)
        found = [hit["event"]["id"] for hit in reply["hits"]]
        if there and key[1] not in found:
            report.note("unfindable", key[1])
        elif not there and key[1] in found:
            report.note("returned", key[1], "is found by search")

    questions = [lambda key=key, one=one: ask(key, one.text, there=True) for key, one in ledger.events.items()]
    questions += [lambda key=key, text=text: ask(key, text, there=False) for key, text in ledger.deleted.items()]
    chosen = questions if at_most is None else random.sample(questions, min(at_most, len(questions)))
    await in_parallel(chosen, _QUESTIONS_AT_ONCE)


def _check_dead_letters(letters: Sequence[Stored], ledger: Ledger, report: Report) -> None:
    times = Counter(map(_original, letters))
    for seq in ledger.refused.keys() - times.keys():
        report.note("undead", seq, ledger.refused[seq])
    for letter in letters:
        seq = _original(letter)
        wanted = ledger.refused.get(seq)
        if times[seq] > 1:
            report.note("dead_twice", seq)
        if wanted is None:
            report.note("wrongly_dead", seq, letter.subject, letter.headers["Precedent-Detail"])
        elif letter.subject != f"security.dead.v1.{wanted.collection}.{wanted.reason}":
            report.note("differing", "the dead letter of", seq, "is on", letter.subject, "and must be", wanted)


async def _letters(wire: Wire) -> AsyncIterator[Stored]:
    seq = 1
    while letter := await wire.stored(seq, stream=DEAD_LETTERS, subject="security.dead.v1.>"):
        yield letter
        seq = letter.seq + 1


def _original(letter: Stored) -> int:
    return int(letter.headers["Precedent-Stream-Seq"])


async def _listed(wire: Wire, collection: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    request: dict[str, Any] = {"order": "oldest", "limit": 1000}
    while True:
        reply = await _answer(wire, collection, "list", **request)
        entries += reply["events"]
        if (cursor := reply.get("cursor")) is None:
            return entries
        request["cursor"] = cursor


async def _covered(wire: Wire, last_seq: int, patience: float) -> None:
    async def probe() -> None:
        stats = await wire.stats()
        assert stats["indexed_seq"] == last_seq, f"indexed_seq is {stats['indexed_seq']}, the log ends at {last_seq}"

    await eventually(probe, timeout=patience, attempt_timeout=10, interval=0.1, exceptions=(AssertionError, *_PASSING))


async def _answer(
    wire: Wire, collection: str, verb: str, patience: float = PATIENCE_S, **request: object
) -> dict[str, Any]:
    """An answer; that there is none for a while is no lie."""

    async def ask() -> dict[str, Any]:
        return await wire.of(collection, verb, **request)

    return await eventually(ask, timeout=patience, attempt_timeout=30, interval=0.1, exceptions=_PASSING)


def _parts(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
