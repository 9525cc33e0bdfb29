"""The limit of open files is raised at the start, and too small a one is named with what is needed."""

import resource
from types import SimpleNamespace

import pytest

from precedent_indexer.errors import StartRefused
from precedent_indexer.runtime import open_files
from precedent_indexer.runtime.open_files import needed, raise_limit


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Soft and hard limit, as the process under test has them."""
    have = [1024, 1024]
    monkeypatch.setattr(resource, "getrlimit", lambda _limit: tuple(have))
    monkeypatch.setattr(resource, "setrlimit", lambda _limit, wanted: have.__setitem__(slice(None), wanted))
    return have


def test_the_soft_limit_becomes_the_hard_one(limits: list[int]) -> None:
    """A container begins with a soft limit of 1,024, whatever its hard limit is."""
    limits[1] = 20_000
    raise_limit(64)
    assert limits == [20_000, 20_000]


def test_no_limit_is_enough(limits: list[int]) -> None:
    """An infinite hard limit is no small number."""
    limits[1] = resource.RLIM_INFINITY
    raise_limit(4_096)
    assert limits == [resource.RLIM_INFINITY] * 2


def test_a_start_below_the_need_is_refused_by_both_numbers(limits: list[int]) -> None:
    """The message says what is had, what is needed and how to have it."""
    limits[:] = [256, 512]
    with pytest.raises(StartRefused, match=f"is 512, and 64 collections need {needed(64)}: raise it"):
        raise_limit(64)
    raise_limit(8)


def test_a_maximum_that_may_never_be_reached_is_a_warning(limits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of collections may be allowed and never exist; the log says what they would need."""
    said: list[tuple[str, int, int]] = []
    note = SimpleNamespace(warning=lambda event, limit, needed, **_: said.append((event, limit, needed)))
    monkeypatch.setattr(open_files, "log", note)
    raise_limit(4_096)
    assert said == [("few_open_files", 1024, needed(4_096))]
    assert limits == [1024, 1024]
