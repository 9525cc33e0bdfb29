"""What people type, as values."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from precedent_backend_adapter import Refused
from precedent_backend_adapter.cli.values import attributes, moment


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
        (["port=22"], {"port": 22}),
        (["ratio=0.5", "tor=true"], {"ratio": 0.5, "tor": True}),
        (['port="22"'], {"port": "22"}),
        (["host=www.example.com"], {"host": "www.example.com"}),
        (["q=a=b"], {"q": "a=b"}),
        (["empty="], {"empty": ""}),
        (["tag=x", "tag=y", "tag=z"], {"tag": ["x", "y", "z"]}),
        (['tags=["x"]'], {"tags": ["x"]}),
        (['tags=["x"]', "tags=y"], {"tags": ["x", "y"]}),
        (["none=null", "nan=NaN", 'object={"a": 1}'], {"none": "null", "nan": "NaN", "object": '{"a": 1}'}),
    ],
)
def test_attributes_are_json_where_they_can_be(pairs: list[str], meant: dict[str, Any]) -> None:
    """A number is a number and its quoted form a string; what is no JSON value of an attribute is a string."""
    assert attributes(pairs) == meant


def test_an_attribute_without_a_value_is_refused() -> None:
    """The message shows how it is written."""
    with pytest.raises(Refused, match="should be key=value"):
        attributes(["port"])
