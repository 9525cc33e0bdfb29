"""Coverage-guided fuzzing of what reads an attacker's bytes first: the codec, and the compiler of filters.

Each input is bytes for one of the targets, which its first byte chooses: some take the rest as it is, the others as the
choices that hypothesis makes. A finding is written into the folder that `-artifact_prefix` names, and ends the run; the
same program with that file as its argument repeats it.
"""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import atheris
from hypothesis import HealthCheck, given, settings

with atheris.instrument_imports(include=["precedent_schemas", "precedent_indexer"]):
    import wire_strategies
    from precedent_indexer.api.filter import compile_filter
    from precedent_indexer.domain.rows import Row, read_row, row_document, row_metadata
    from precedent_schemas import codec
    from precedent_schemas.catalogue import ENDPOINTS
    from precedent_schemas.events import Deletion, EventBody, Outcome, StoredEvent
    from precedent_schemas.questions import Filter
    from precedent_schemas.subjects import SubjectError, parse_log_subject

freely = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))

OPERATORS: Final = frozenset({"$and", "$or", "$in", "$contains", "$gte", "$lte", "$lt"})
MESSAGES: Final = (
    (EventBody, wire_strategies.events),
    (Outcome, wire_strategies.outcomes),
    (Deletion, wire_strategies.deletions),
    *((endpoint.request, wire_strategies.requests[endpoint.name]) for endpoint in ENDPOINTS),
)
NOW: Final = datetime(2026, 1, 31, tzinfo=UTC)


def row_of(body: EventBody) -> Row:
    """An event as the index keeps it."""
    given_fields = body.model_dump(exclude={"id", "occurred_at"})
    event = StoredEvent(
        id=body.id or "seq-1", collection="fuzz", kind="a.b", occurred_at=body.occurred_at or NOW, **given_fields
    )
    return Row(event, 1, (1,))


ROWS: Final = [
    row_of(EventBody.model_validate(fields))
    for fields in (
        {"text": "plain"},
        {"text": "caf\u00e9 cafe\u0301 \u212a \x00", "user": "jos\u00e9", "source": "e\u0301", "ip": "10.0.0.1"},
        {"text": "x", "ip": "2001:db8::1", "severity": 5, "attributes": {"a": [1, 2.5], "b": True, "c": "e\u0301"}},
    )
]


def decode_of(model: type[Any], data: bytes) -> None:
    """A message that can be encoded and decoded again, or the one error."""
    try:
        first = codec.decode(model, data)
    except codec.DecodeError as error:
        assert str(error).isprintable()  # noqa: PT017 -- a fuzz target is no test
        return
    assert codec.decode(model, codec.encode(first)) == first
    if isinstance(first, EventBody):
        row = row_of(first)
        assert read_row(row_metadata(row), row_document(row)).event == row.event


def filter_of(wanted: Filter | None) -> None:
    """It compiles into our own operators, and decides about every row."""
    compiled = compile_filter(wanted)
    if compiled is None:
        return
    assert all(compiled.matches(row) in {True, False} for row in ROWS)
    if compiled.where is not None:
        assert operators_in(compiled.where.metadata) <= OPERATORS


def operators_in(clause: Any) -> set[str]:
    """Every operator of a clause."""
    if isinstance(clause, list):
        return {name for one in clause for name in operators_in(one)}
    if isinstance(clause, dict):
        below = {name for one in clause.values() for name in operators_in(one)}
        return {name for name in clause if name.startswith("$")} | below
    return set()


def bytes_as_they_are(model: type[Any]) -> Callable[[bytes], object]:
    """A target that reads JSON of one message."""
    return lambda data: decode_of(model, data)


def bytes_as_choices(model: type[Any], messages: Any) -> Callable[[bytes], object]:
    """A target that reads messages of one model, legal and spoiled."""

    @freely
    @given(wire_strategies.payloads(messages))
    def target(data: bytes) -> None:
        decode_of(model, data)

    return target.hypothesis.fuzz_one_input  # type: ignore[attr-defined, no-any-return] # hypothesis adds it


@freely
@given(wire_strategies.filters)
def legal_filters(wanted: dict[str, Any]) -> None:
    """A target that compiles what a caller may ask."""
    filter_of(codec.decode(Filter, codec.dump(wanted)))


def filters_as_they_are(data: bytes) -> None:
    """A target that compiles what decodes."""
    try:
        filter_of(codec.decode(Filter, data))
    except codec.DecodeError:
        return


def subjects(data: bytes) -> None:
    """A target that reads subjects of the log."""
    try:
        parse_log_subject(data.decode(errors="surrogateescape"))
    except SubjectError as error:
        assert str(error).isprintable()  # noqa: PT017 -- a fuzz target is no test


TARGETS: Final[Sequence[Callable[[bytes], object]]] = (
    *(bytes_as_they_are(model) for model, _ in MESSAGES),
    *(bytes_as_choices(model, messages) for model, messages in MESSAGES),
    filters_as_they_are,
    legal_filters.hypothesis.fuzz_one_input,  # type: ignore[attr-defined] # as above
    subjects,
)


def one_input(data: bytes) -> None:
    """What the fuzzer calls."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
