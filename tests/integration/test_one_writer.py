"""One index has one writer, and says why a second may not be."""

import shutil

from harness.stack import NewIndexer
from harness.wire import CONSUMER, LOG, Wire


async def test_a_second_indexer_on_the_same_directory_exits(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """It ends at once and names the directory; the first goes on undisturbed."""
    async with new_indexer() as first:
        second = new_indexer()
        second.start()
        assert await second.wait_exit(30) == 1
        said = second.log_tail()
        assert str(first.chroma_path) in said
        assert "one index has one writer" in said
        assert "Traceback" not in said
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
        assert await own_wire.listed("incidents") == ["a"]


async def test_a_second_index_on_the_same_consumer_exits(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """With another directory it would take messages away from the first: it ends and says so."""
    async with new_indexer():
        second = new_indexer("elsewhere")
        second.start()
        assert await second.wait_exit(30) == 1
        said = second.log_tail()
        assert "consumer indexer feeds index" in said
        assert "one index has one writer" in said
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
        assert await own_wire.listed("incidents") == ["a"]


async def test_an_index_that_is_another_may_not_take_over(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """An index of another name than the consumer's is refused also when nobody serves: its operator decides."""
    first, second = new_indexer(), new_indexer("elsewhere")
    async with first:
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
    # Without the consumer, nothing tells the second that there was an index before it.
    await own_wire.api(f"CONSUMER.DELETE.{LOG}.{CONSUMER}")
    async with second:
        await own_wire.covered(await own_wire.event("incidents", "another event", id="b"))
        assert await own_wire.listed("incidents") == ["a", "b"]
    first.start()
    assert await first.wait_exit(30) == 1
    said = first.log_tail()
    assert "PRECEDENT_CHROMA_PATH" in said
    assert "nats consumer rm SECURITY_EVENTS indexer" in said


async def test_an_index_that_was_thought_lost_may_come_back(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """One that is begun in the place of another goes on under its name, so the other is only an older copy."""
    first, second = new_indexer(), new_indexer("elsewhere")
    async with first:
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
    async with second:
        await own_wire.covered(await own_wire.event("incidents", "another event", id="b"))
        await own_wire.of("incidents", "delete", ids=["a"])
    async with first:
        await own_wire.covered((await own_wire.stats())["stream_seq"])
        assert await own_wire.listed("incidents") == ["b"]


async def test_a_copy_of_an_index_in_use_exits(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """It has the name of the one that is running, and is refused nevertheless; the first goes on undisturbed."""
    first, second = new_indexer(), new_indexer("elsewhere")
    async with first:
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
    shutil.copytree(first.chroma_path, second.chroma_path)
    async with first:
        second.start()
        assert await second.wait_exit(30) == 1
        assert "one index has one writer" in second.log_tail()
        await own_wire.covered(await own_wire.event("incidents", "another event", id="b"))
        assert await own_wire.listed("incidents") == ["a", "b"]


async def test_who_was_thought_dead_ends_when_it_wakes_up(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Frozen while a copy of its index was taken into use, it finds that out and ends; the other goes on."""
    first, second = new_indexer(), new_indexer("elsewhere")
    async with first:
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
    shutil.copytree(first.chroma_path, second.chroma_path)
    first.start()
    await first.wait_ready()
    first.pause()
    async with second:
        first.resume()
        assert await first.wait_exit(60) == 1
        assert "one index has one writer" in first.log_tail()
        await own_wire.covered(await own_wire.event("incidents", "another event", id="b"))
        assert await own_wire.listed("incidents") == ["a", "b"]


async def test_the_directory_is_free_again_after_a_kill(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """A crash leaves no lock behind that somebody would have to remove."""
    first, second = new_indexer(), new_indexer()
    first.start()
    await first.wait_ready()
    await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
    first.kill()
    async with second:
        assert await own_wire.listed("incidents") == ["a"]
