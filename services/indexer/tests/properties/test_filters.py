"""The real store is never asked to leave out what a filter lets pass, whatever the rows and whatever the filter."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import wire_strategies
from fakes.making import START, decided, row, writes_of
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.api.filter import CompiledFilter, compile_filter
from precedent_indexer.domain.rows import Row
from precedent_schemas import codec
from precedent_schemas.events import Verdict
from precedent_schemas.questions import Filter

UNSHRUNK = (Phase.explicit, Phase.generate)
"""Each attempt to shrink a failure fills a collection again: it would outlast the patience for a test."""
_numbers = itertools.count()
SPACE: dict[str, list[Any]] = {
    "kinds": ["auth", "auth.fail", "auth.fail.ssh", "net", "authz"],
    "labels": ["\u00e9", "e\u0301", "sshd", "SSHD", "a", "ünï", "%", "_", "'\"", "x" * 256],
    "ips": ["10.0.0.1", "10.0.0.255", "10.1.0.0", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1",
            "2001:db8::1:0:0:1", "2001:db8:0:1::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "7fff:ffff:ffff:ffff::",
            "8000::", "::8000:0:0:0"],
    "networks": ["10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/32", "255.255.255.254/31", "::/0", "::/1",
                 "8000::/1", "2001:db8::/32", "2001:db8::/64", "2001:db8::/65", "2001:db8::1/128", "::/64", "::/65",
                 "::ffff:0:0/96", "::8000:0:0:0/65"],
    "values": ["\u00e9", "e\u0301",
               0, 1, 1.0, True, False, -1, 0.1, 2**63 - 1, -(2**63), 2.0**63, "1", "true", "", "a=b", "x" * 200],
    "pieces": ["\u212a", "K", "\u0301", "caf", "\u0958", "\u0915",
               "abc", "ABC", "%", "_", "\x00", "'", '"', "\\", "*", "ß", "SS", "ss", "İ", "i̇", "日本語", "🚨", " ",
               "\n", "é", "e\u0301", "ab", "c", "NEAR(", "^", "-", "\ud7ff", "\u200b"],
}  # fmt: skip
"""Few values that meet often, and the odd ones among them."""


def one_of(name: str) -> st.SearchStrategy[Any]:
    """One of the values of this name."""
    return st.sampled_from(SPACE[name])


def some_of(name: str) -> st.SearchStrategy[list[Any]]:
    """A few of them."""
    return st.lists(one_of(name), min_size=1, max_size=3)


texts = st.lists(one_of("pieces"), min_size=1, max_size=8).map("".join)
times = st.integers(-3, 3).map(lambda ms: START + timedelta(milliseconds=ms))
attributes = st.dictionaries(
    st.sampled_from(("k", "k2", "k=")).map(lambda key: key.replace("=", ".")),
    st.one_of(one_of("values"), st.lists(st.sampled_from(("a", "1", "")), max_size=2)),
    max_size=3,
)
rows_of_space = st.fixed_dictionaries(
    {"text": texts, "kind": one_of("kinds"), "severity": st.integers(1, 5), "occurred_at": times},
    optional={
        "source": one_of("labels"),
        "user": one_of("labels"),
        "ip": one_of("ips"),
        "attributes": attributes,
        "record": st.sampled_from(Verdict).map(lambda verdict: decided(verdict=verdict)),
    },
)
parts: dict[str, st.SearchStrategy[Any]] = {
    "kinds": some_of("kinds"),
    "severity": st.fixed_dictionaries({}, optional={"min": st.integers(1, 5), "max": st.integers(1, 5)}),
    "sources": some_of("labels"),
    "users": some_of("labels"),
    "ips": some_of("ips"),
    "networks": some_of("networks"),
    "occurred_at": st.fixed_dictionaries({}, optional={"after": times, "before": times}),
    "attributes": st.dictionaries(
        st.sampled_from(("k", "k2")), st.one_of(one_of("values"), some_of("values")), min_size=1, max_size=2
    ),
    "contains": texts,
    "verdicts": st.lists(st.sampled_from(Verdict), min_size=1, max_size=2),
    "exclude_ids": st.lists(st.sampled_from(("e1", "e2", "zzz")), max_size=2),
}
filters = st.fixed_dictionaries({}, optional=parts)
single_parts = st.sampled_from(sorted(parts)).flatmap(lambda name: st.fixed_dictionaries({name: parts[name]}))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaStore]:
    """A real store."""
    opened = ChromaStore.open(tmp_path_factory.mktemp("filters"))
    yield opened
    opened.close()


def found_through_the_store(store: ChromaStore, collection: str, compiled: CompiledFilter | None) -> list[Row]:
    """Rows by the store's narrowing and then the predicate, as questions go; both ways of reading must agree."""
    where = compiled.where if compiled else None
    window = [one for one in store.window(collection, 1, 10_000, where) if compiled is None or compiled.matches(one)]
    scanned = store.rows(collection, store.vectors(collection, where, None)[0]).values()
    assert {one.seq for one in scanned if compiled is None or compiled.matches(one)} == {one.seq for one in window}
    return window


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=UNSHRUNK)
@given(
    fields=st.lists(rows_of_space, min_size=1, max_size=25),
    wanted=st.lists(st.one_of(single_parts, single_parts, filters), min_size=12, max_size=12),
)
def test_the_store_never_leaves_out_what_passes(
    store: ChromaStore, fields: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    """Chroma narrows by `where` first, and yet exactly the rows come out that the predicate alone lets pass."""
    collection = f"rows{next(_numbers)}"
    rows = [row(f"e{seq}", seq, **one) for seq, one in enumerate(fields, start=1)]
    store.write(collection, writes_of(*rows))
    for one in wanted:
        compiled = compile_filter(Filter.model_validate(one))
        expected = [row for row in rows if compiled is None or compiled.matches(row)]
        assert found_through_the_store(store, collection, compiled) == expected, one


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=UNSHRUNK)
@given(
    some=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip), min_size=1),
    data=st.data(),
)
def test_any_piece_of_any_text_is_found(store: ChromaStore, some: list[str], data: st.DataObject) -> None:
    """Whatever substring of a stored text is asked for, at least that text is found, whatever Unicode it is of."""
    collection = f"texts{next(_numbers)}"
    rows = [row(f"e{seq}", seq, text=text) for seq, text in enumerate(some, start=1)]
    store.write(collection, writes_of(*rows))
    for one in rows:
        start = data.draw(st.integers(0, len(one.event.text) - 1))
        needle = one.event.text[start : data.draw(st.integers(start + 1, len(one.event.text)))]
        compiled = compile_filter(Filter(contains=needle))
        assert one in found_through_the_store(store, collection, compiled)


BIG: dict[str, dict[str, Any]] = {
    "every list full": {
        "kinds": [f"auth.k{n}" for n in range(999)] + ["auth"],
        "sources": [f"s{n}" for n in range(999)] + ["sshd"],
        "users": [f"u{n}" for n in range(999)] + ["admin"],
        "ips": [f"10.1.{n // 250}.{n % 250}" for n in range(999)] + ["10.0.0.1"],
        "networks": [f"10.{n // 250}.{n % 250}.0/32" for n in range(999)] + ["10.0.0.0/30"],
        "exclude_ids": [f"x{n}" for n in range(1000)],
        "verdicts": ["benign"] * 1000,
    },
    "64 attributes": {"attributes": {f"k{n}": n for n in range(64)}},
    "64 attributes with 32 values each": {"attributes": {f"k{n}": list(range(n, n + 32)) for n in range(64)}},
    "64 attributes with 1000 values each": {"attributes": {f"k{n}": list(range(1000)) for n in range(64)}},
    "32 networks and 32 kinds": {
        "networks": [f"192.0.2.{2 * n}/32" for n in range(31)] + ["10.0.0.1"],
        "kinds": [f"k{n}" for n in range(31)] + ["auth"],
    },
    "a long needle": {"contains": "x" * 30_000},
    "a long needle of patterns": {"contains": "%_" * 15_000 + "xxx"},
}


@pytest.mark.parametrize("name", BIG)
def test_the_largest_filters_work(store: ChromaStore, name: str) -> None:
    """A filter at the limits of the contract is answered, and rightly."""
    collection = f"big{next(_numbers)}"
    held = row(
        "e1",
        kind="auth.x",
        source="sshd",
        user="admin",
        ip="10.0.0.1",
        record=decided(),
        text="%_" * 15_000 + "xxx" if "patterns" in name else "x" * 30_000,
        attributes={f"k{n}": n for n in range(64)},
    )
    store.write(collection, writes_of(held, row("e2", 2, text="y")))
    compiled = compile_filter(Filter.model_validate(BIG[name]))
    assert found_through_the_store(store, collection, compiled) == [held]


OPERATORS = {"$and", "$or", "$in", "$contains", "$gte", "$lte", "$lt"}
KEYS = {"kinds", "severity", "source", "user", "ip", "ip_high", "ip_low", "occurred_at_ms", "attributes", "verdict"}


def names_of(clause: Any) -> set[str]:
    """Every key in a clause, at any depth; values are not looked into."""
    if isinstance(clause, list):
        return {name for one in clause if isinstance(one, dict) for name in names_of(one)}
    return set(clause) | {name for one in clause.values() if isinstance(one, dict | list) for name in names_of(one)}


@settings(max_examples=200, deadline=None, database=None)
@given(wire_strategies.filters | wire_strategies.spoiled(wire_strategies.filters))
def test_every_filter_compiles_to_our_own_clauses(wanted: dict[str, Any]) -> None:
    """What the codec lets through compiles, and the store is asked with our keys and operators alone."""
    try:
        legal = codec.decode(Filter, codec.dump(wanted))
    except codec.DecodeError:
        return
    compiled = compile_filter(legal)
    if compiled is None:
        return
    assert compiled.matches(row()) in {True, False}
    if compiled.where is not None and compiled.where.metadata is not None:
        assert names_of(compiled.where.metadata) <= OPERATORS | KEYS
