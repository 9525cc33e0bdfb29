"""One server and one indexer for all hostile cases, and their summary at the end."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from security.hostile.arena import Arena, Books, open_arena

_BOOKS = pytest.StashKey[Books]()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def arena(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Arena]:
    """A running server and indexer that every case is sent to."""
    async with open_arena(tmp_path_factory.mktemp("hostile")) as opened:
        request.config.stash[_BOOKS] = opened.books
        yield opened


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many cases there were and what became of them."""
    books = config.stash.get(_BOOKS, None)
    if books is not None:
        terminalreporter.section("hostile run")
        for line in books.summary():
            terminalreporter.line(line)
