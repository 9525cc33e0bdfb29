"""What people type, as values."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from precedent_backend_adapter import Refused
from precedent_backend_adapter.cli.arguments.values import attribute_filter, attributes, moment


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-01-31T13:00:00+01:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_moment_is_written_as_rfc_3339_or_as_a_date(text: str, meant: datetime) -> None:
    """A date begins at midnight of UTC."""
    assert moment("after", text) == meant


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_moment_may_be_so_long_ago(text: str, ago: timedelta) -> None:
    """It is counted from now."""
    before = datetime.now(UTC)
    found = moment("after", text)
    assert before - ago <= found <= datetime.now(UTC) - ago


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "2026-01-31T12:00:00", "5", "999999w", "-3h", ""])
def test_what_is_no_moment_is_refused_by_the_name_of_the_option(text: str) -> None:
    """The message names the option and shows what would do."""
    with pytest.raises(Refused, match="after: should be like") as caught:
        moment("after", text)
    assert [one.field for one in caught.value.problems] == ["after"]


@pytest.mark.parametrize(
    ("pairs", "meant"),
    [
        ([], {}),
        (["code=4625", "version=8.10", "tor=true"], {"code": "4625", "version": "8.10", "tor": "true"}),
        (["code:=4625", "ratio:=0.5", "tor:=true"], {"code": 4625, "ratio": 0.5, "tor": True}),
        (['port="22"', 'host:="x"'], {"port": '"22"', "host": "x"}),
        (["q=a=b", "r=a:=b"], {"q": "a=b", "r": "a:=b"}),
        (["empty="], {"empty": ""}),
        (["tag=x", "tag=y", "tag=z"], {"tag": ["x", "y", "z"]}),
        (['tags:=["x"]', "tags=y"], {"tags": ["x", "y"]}),
    ],
)
def test_an_attribute_is_a_string_unless_it_is_written_as_json(pairs: list[str], meant: dict[str, Any]) -> None:
    """A value keeps its spelling; `:=` alone gives it another type."""
    assert attributes(pairs) == meant


@pytest.mark.parametrize(
    ("pairs", "meant"),
    [
        (["code=4625"], {"code": ["4625", 4625]}),
        (["version=8.10"], {"version": ["8.10", 8.1]}),
        (["tor=true"], {"tor": ["true", True]}),
        (["host=www.example.com", "n=NaN", "x=null"], {"host": "www.example.com", "n": "NaN", "x": "null"}),
        (["code:=4625"], {"code": 4625}),
        (['code:="4625"'], {"code": "4625"}),
        (["code:=1", "code=x"], {"code": [1, "x"]}),
        (["code:=[1, 2]"], {"code": [1, 2]}),
    ],
)
def test_a_filter_matches_what_a_value_spells(pairs: list[str], meant: dict[str, Any]) -> None:
    """String and number both, unless `:=` says which."""
    assert attribute_filter(pairs) == meant


@pytest.mark.parametrize("read", [attributes, attribute_filter])
@pytest.mark.parametrize("pair", ["port", "port:=x", "port:=", "port:=NaN", "port:=null", 'port:={"a": 1}'])
def test_an_attribute_that_says_nothing_is_refused(read: Any, pair: str) -> None:
    """The message shows how it is written."""
    with pytest.raises(Refused, match="should be"):
        read([pair])
