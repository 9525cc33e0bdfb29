"""The index at a start, also after log or index were put back from a backup."""

import structlog

from precedent_indexer.domain.messages import LogState
from precedent_indexer.domain.ports import Log
from precedent_indexer.index.generations import Generation, GenerationStore
from precedent_indexer.index.log_match import put_back, rewritten

log = structlog.get_logger(__name__)


async def open_index(
    generations: GenerationStore, source: Log, log_state: LogState, broken: str | None, orphan: str | None
) -> Generation:
    """The index, opened or begun; the arguments are those of `GenerationStore.open`."""
    said = generations.look(broken)
    corrected = await put_back(said, log_state, source) if said is not None else None
    if corrected is not None:
        log.info("log_was_put_back", created=log_state.created, indexed_seq=corrected.watermark)
        generations.correct(corrected)
    index = generations.open(log_state, broken, orphan)
    reason = await rewritten(index.identity, source)
    if reason is None:
        return index
    log.warning("index_rebuilt", reason=reason, generation=index.path.name)
    index.close()
    return generations.begin(log_state, index.identity.uuid)
