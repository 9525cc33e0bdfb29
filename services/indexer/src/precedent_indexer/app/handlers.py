"""The table of verbs: which handler answers which endpoint, for an index that is written here or elsewhere."""

from collections.abc import Callable, Mapping

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.dead_letters import JetStreamDeadLetters
from precedent_indexer.api.admin import CollectionStats, JobVerbs, Stats
from precedent_indexer.api.dead_letters import DeadLetterVerbs
from precedent_indexer.api.delete import DeletionVerbs
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.listing import Listing
from precedent_indexer.api.recurrence import Recurrence
from precedent_indexer.api.search import Search
from precedent_indexer.api.server import Prefetch, QueryServer, Verb, Wait
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.settings import Settings
from precedent_schemas import catalogue


def reading_handlers(view: IndexView, max_payload: Callable[[], int]) -> dict[str, Verb]:
    """Handlers that only read the index, by the name of the endpoint: every replica has them."""
    search = Search(view)
    return {
        catalogue.SEARCH.name: search.search,
        catalogue.RECURRENCE.name: Recurrence(view).recurrence,
        catalogue.GET.name: search.get,
        catalogue.LIST.name: Listing(view, max_payload).page,
        catalogue.COLLECTION_STATS.name: CollectionStats(view).collection_stats,
    }


def all_handlers(
    view: IndexView,
    *,
    stats: Stats,
    deletion_results: DeletionResults,
    dead_letters: JetStreamDeadLetters,
    bus: Bus,
    jobs: JobVerbs,
) -> dict[str, Verb]:
    """Handlers of every endpoint, by its name: for the process that writes the index."""

    def max_payload() -> int:
        return bus.max_payload

    deletion = DeletionVerbs(view, deletion_results, max_payload)
    refused = DeadLetterVerbs(view, dead_letters, bus, max_payload)
    return reading_handlers(view, max_payload) | {
        catalogue.DELETE.name: deletion.delete,
        catalogue.CLEAR.name: deletion.clear,
        catalogue.STATS.name: stats.stats,
        catalogue.DEAD_LIST.name: refused.page,
        catalogue.DEAD_GET.name: refused.get,
        catalogue.DEAD_REPLAY.name: refused.replay,
        catalogue.DEAD_DROP.name: refused.drop,
        catalogue.REBUILD.name: jobs.rebuild,
        catalogue.VERIFY.name: jobs.verify,
    }


def query_server(
    handlers: Mapping[str, Verb],
    *,
    bus: Bus,
    settings: Settings,
    wait_until_covered: Wait,
    prefetch: Prefetch,
    metrics: Metrics,
) -> QueryServer:
    """The server of these handlers on this bus, within the limits of the settings."""
    return QueryServer(
        handlers,
        reply=bus.reply,
        wait_until_covered=wait_until_covered,
        prefetch=prefetch,
        max_payload=lambda: bus.max_payload,
        at_once=settings.precedent_questions_at_once,
        waiting=settings.precedent_questions_waiting,
        metrics=metrics,
    )
