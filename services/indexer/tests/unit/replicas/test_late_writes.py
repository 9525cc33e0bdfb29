"""What a writer that was late may have spoilt is applied anew."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from precedent_indexer.domain.writers import WriterHistory, WriterTerm
from precedent_indexer.index.watermark import Progress
from precedent_indexer.replicas.late_writes import LateWriteRepair
from precedent_indexer.runtime.threads import Workers


class Checkpoint:
    """Tenures in memory."""

    def __init__(self, *terms: WriterTerm) -> None:
        self.terms = {one.token: one for one in terms}

    def read(self) -> WriterHistory:
        """All of them."""
        return WriterHistory("generation-1", {}, [self.terms[token] for token in sorted(self.terms)])

    def set_late(self, token: int, *, late: bool) -> None:
        """Of one."""
        one = self.terms[token]
        self.terms[token] = WriterTerm(one.token, one.since, one.ended, late)


class Writer:
    """What is held, and saved."""

    def __init__(self) -> None:
        self.is_held = False
        self.saved: list[int] = []

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Nothing is taken from the log within."""
        self.is_held = True
        yield
        self.is_held = False

    async def save_watermark(self, seq: int) -> None:
        """Only while held: a batch under way would save a later one."""
        assert self.is_held
        self.saved.append(seq)


def repair(
    checkpoint: Checkpoint, writer: Writer, progress: Progress, settle_s: float | None = None
) -> LateWriteRepair:
    """Of the writer with token 5."""
    return LateWriteRepair(
        service=writer,
        registry=checkpoint,
        progress=progress,
        workers=Workers(),
        token=5,
        sweep=lambda: None,
        settle_s=settle_s,
    )


async def test_the_log_is_read_again_from_where_the_successor_of_the_late_one_began() -> None:
    """Not from where this writer began: the late one may lie several writers back."""
    checkpoint = Checkpoint(
        WriterTerm(2, 10, late=True), WriterTerm(3, 40, ended=True), WriterTerm(4, 90, ended=True), WriterTerm(5, 95)
    )
    writer, progress = Writer(), Progress(120)
    mending = repair(checkpoint, writer, progress)
    await mending.look()
    assert (progress.indexed_seq, writer.saved) == (40, [40])
    assert not checkpoint.terms[2].late
    progress.advance(130)
    await mending.look()
    assert (progress.indexed_seq, writer.saved) == (130, [40])


async def test_two_that_were_late_are_one_reading() -> None:
    """From the earlier of both successors."""
    checkpoint = Checkpoint(
        WriterTerm(2, 10, late=True), WriterTerm(3, 40, late=True), WriterTerm(4, 30, ended=True), WriterTerm(5, 95)
    )
    writer, progress = Writer(), Progress(120)
    await repair(checkpoint, writer, progress).look()
    assert (progress.indexed_seq, writer.saved) == (30, [30])


async def test_its_own_lateness_is_its_successors_business() -> None:
    """A writer that was late and has the lease again knows what it wrote itself."""
    checkpoint = Checkpoint(WriterTerm(4, 30, ended=True), WriterTerm(5, 95, late=True))
    writer, progress = Writer(), Progress(120)
    await repair(checkpoint, writer, progress).look()
    assert (progress.indexed_seq, writer.saved) == (120, [])
    assert checkpoint.terms[5].late


@pytest.mark.parametrize(("settle_s", "wanted"), [(None, 120), (0.0, 95), (3_600.0, 120)])
async def test_after_one_that_left_without_a_word_the_log_is_read_again_once(
    settle_s: float | None, wanted: int
) -> None:
    """When its last request must have ended, and not before; never after one that left in good order."""
    checkpoint = Checkpoint(WriterTerm(4, 90), WriterTerm(5, 95))
    writer, progress = Writer(), Progress(120)
    mending = repair(checkpoint, writer, progress, settle_s)
    await mending.look()
    assert progress.indexed_seq == wanted
    progress.advance(150)
    await mending.look()
    assert progress.indexed_seq == 150
