"""Many readers or one writer."""

import threading

from precedent_indexer.runtime.rwlock import ReadWriteLock


def test_a_reader_waits_for_a_change_under_way() -> None:
    """What takes two steps is never seen half done."""
    gate, seen, begun = ReadWriteLock(), [], threading.Event()

    def read() -> None:
        begun.set()
        with gate.reading():
            seen.append("read")

    with gate.writing():
        reader = threading.Thread(target=read)
        reader.start()
        begun.wait()
        seen.append("written")
    reader.join(10)
    assert seen == ["written", "read"]


def test_readers_pass_together_and_a_writer_waits_for_them() -> None:
    """A change begins when the last reader has left."""
    gate, seen = ReadWriteLock(), []

    def write() -> None:
        with gate.writing():
            seen.append("written")

    with gate.reading():
        with gate.reading():
            writer = threading.Thread(target=write)
            writer.start()
        seen.append("read")
    writer.join(10)
    assert seen == ["read", "written"]
