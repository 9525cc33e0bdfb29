"""One index has one writer, and says why a second may not be."""

from harness.stack import NewIndexer
from harness.wire import Wire


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


async def test_another_existing_index_may_not_take_over(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """An index that is not the consumer's is refused also when nobody serves: its operator decides."""
    first, second = new_indexer(), new_indexer("elsewhere")
    async with first:
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
    first.chroma_path.rename(first.chroma_path.with_name("aside"))
    async with second:
        await own_wire.covered(await own_wire.event("incidents", "another event", id="b"))
        assert await own_wire.listed("incidents") == ["a", "b"]
    first.chroma_path.with_name("aside").rename(first.chroma_path)
    first.start()
    assert await first.wait_exit(30) == 1
    said = first.log_tail()
    assert "PRECEDENT_CHROMA_PATH" in said
    assert "nats consumer rm SECURITY_EVENTS indexer" in said


async def test_the_directory_is_free_again_after_a_kill(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """A crash leaves no lock behind that somebody would have to remove."""
    first, second = new_indexer(), new_indexer()
    first.start()
    await first.wait_ready()
    await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
    first.kill()
    async with second:
        assert await own_wire.listed("incidents") == ["a"]
