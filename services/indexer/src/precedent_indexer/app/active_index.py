"""The generation in use, everything bound to it, and the switch to another generation in one step."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from pydantic import BaseModel

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.dead_letters import JetStreamDeadLetters
from precedent_indexer.adapters.nats.deliveries import PullFeed
from precedent_indexer.adapters.nats.log import JetStreamLog
from precedent_indexer.adapters.nats.provision.changes import changed_settings
from precedent_indexer.adapters.nats.provision.consumer import DurableConsumer
from precedent_indexer.api.admin import JobVerbs, Stats
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.server import Verb
from precedent_indexer.app.handlers import all_handlers, query_server
from precedent_indexer.app.metrics_collector import Observer
from precedent_indexer.app.models import Models
from precedent_indexer.domain.ports import Probe
from precedent_indexer.embedding.scheduler import AbsentModel, Embedding
from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.generations import Generation, GenerationStore
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.ingest.checkpoint import Checkpoint
from precedent_indexer.ingest.supervisor import Ingest
from precedent_indexer.maintenance.housekeeping import Housekeeping
from precedent_indexer.maintenance.log_gaps import LogGaps
from precedent_indexer.maintenance.rebuild import Rebuilder
from precedent_indexer.maintenance.settings_watch import SettingsWatch
from precedent_indexer.maintenance.verify import Subject, Verifier
from precedent_indexer.maintenance.watchdog import StoreWatchdog
from precedent_indexer.observability.metrics import Metrics, discard_metrics
from precedent_indexer.runtime.jobs import Jobs
from precedent_indexer.runtime.threads import Workers
from precedent_indexer.settings import Settings
from precedent_schemas import catalogue
from precedent_schemas.jobs import REBUILD


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts that do not depend on the generation in use."""

    settings: Settings
    bus: Bus
    source: JetStreamLog
    dead_letters: JetStreamDeadLetters
    workers: Workers
    models: Models
    generations: GenerationStore
    metrics: Metrics
    probe: Probe
    saves_each: bool = False
    """The watermark is saved with every batch, since other replicas go by it."""


class ActiveIndex:
    """Ingest and questions over the generation in use; an `IndexService`."""

    def __init__(self, dependencies: Dependencies, index: Generation) -> None:
        self._dependencies = dependencies
        self.index = index
        self.jobs = Jobs(dependencies.metrics)
        self.progress = Progress(index.identity.watermark)
        for seq, refusal in dependencies.dead_letters.refusals().items():
            self.progress.refuse(seq, refusal)
        self._deletion_results = DeletionResults()
        self.feed = PullFeed(dependencies.bus, window=2 * dependencies.settings.precedent_batch_size)
        embedding = dependencies.models.of(index)
        self._can_embed = asyncio.Event()
        """The model of the generation in use is here; without it, the log is read by the next generation alone."""
        if embedding is not None:
            self._can_embed.set()
        self._follows = False
        """The generation in use takes what the log has; where it does not, the one to come must."""
        applier = self._pipeline_applier(index, embedding)
        self._checkpoint = self._checkpoint_of(index)
        self.ingest = Ingest(
            feed=self.feed,
            source=dependencies.source,
            applier=applier,
            progress=self.progress,
            checkpoint=self._checkpoint,
            batch_size=dependencies.settings.precedent_batch_size,
            metrics=dependencies.metrics,
            saves_each=dependencies.saves_each,
        )
        view = self._view_now = self._view(index, embedding)
        self.rebuilder = Rebuilder(
            service=self,
            generations=dependencies.generations,
            source=dependencies.source,
            dead_letters=dependencies.dead_letters,
            progress=self.progress,
            workers=dependencies.workers,
            probe=dependencies.probe,
        )
        self.watchdog = StoreWatchdog(
            service=self,
            generations=dependencies.generations,
            source=dependencies.source,
            progress=self.progress,
            workers=dependencies.workers,
            probe=dependencies.probe,
        )
        self.housekeeping = Housekeeping(
            service=self,
            source=dependencies.source,
            progress=self.progress,
            workers=dependencies.workers,
            jobs=self.jobs,
            rebuilder=self.rebuilder,
            # What lies in the files of a Chroma server is not ours to replace.
            scrub_after_s=0
            if dependencies.settings.precedent_chroma_url
            else dependencies.settings.precedent_scrub_after,
            metrics=dependencies.metrics,
            gaps=LogGaps(self, self.progress),
            settings=SettingsWatch(
                lambda: changed_settings(dependencies.bus), self.ingest.liveness, expiring=dependencies.bus.expiring
            ),
        )
        self.observer = Observer(
            service=self,
            metrics=dependencies.metrics,
            feed=self.feed,
            source=dependencies.source,
            dead_letters=dependencies.dead_letters,
            workers=dependencies.workers,
        )
        self.begin = self._job_verbs(index, applier)
        self.query_server = query_server(
            self._handlers(view, self.begin),
            bus=dependencies.bus,
            settings=dependencies.settings,
            wait_until_covered=view.wait_until_covered,
            prefetch=self._prefetch,
            metrics=dependencies.metrics,
        )

    async def follow(self) -> None:
        """Follow the log until `stop`.

        Raises:
            StartRefused, Stalled: as `Ingest.run`.
        """
        await self._can_embed.wait()
        self._follows = True
        await self.ingest.run()

    @property
    def runtime(self) -> str:
        """What computes the model here."""
        return self._dependencies.models.installed.model.runtime

    @property
    def cache_entries(self) -> int:
        """Texts whose vector is in memory."""
        return self._dependencies.models.cache_entries

    def stop(self) -> None:
        """Finish the messages in flight and take no more."""
        self.ingest.stop()
        self._can_embed.set()
        self.progress.let_go()

    def close(self) -> None:
        """Wait for running calls, then release the files; blocks."""
        self._dependencies.workers.close()
        self.index.close()

    @property
    def is_rebuilding(self) -> bool:
        """Whether another generation is about to take the place of the one in use."""
        return self.jobs.current is not None and self.jobs.current.kind == REBUILD

    async def save_watermark(self, seq: int) -> None:
        """Save with the generation in use that everything up to `seq` is applied."""
        await self._checkpoint.save_watermark(seq)

    def held(self) -> AbstractAsyncContextManager[None]:
        """Inside, ingest is paused."""
        return self.ingest.held()

    def filler(self, index: Generation) -> Applier:
        """The applier of a generation that is not in use; no caller waits for the results of its deletions."""
        return self._applier(index, self._dependencies.models.installed, DeletionResults(), discard_metrics())

    async def reached(self) -> int:
        """The sequence up to which the generation to come must have read to take the place of the one in use."""
        if self._follows:
            return self.progress.indexed_seq
        return (await self._dependencies.source.state()).last_seq

    def take_over(self, index: Generation) -> Callable[[], Awaitable[object]]:
        """Replace the generation in use, while ingest is paused; the result waits for questions to the old one."""
        models = self._dependencies.models
        embedding = models.of(index)
        applier = self._pipeline_applier(index, embedding)
        self._checkpoint = self._checkpoint_of(index)
        self.ingest.use(applier, self._checkpoint)
        self.begin = self._job_verbs(index, applier)
        self._view_now = self._view(index, embedding)
        ended = self.query_server.use(self._handlers(self._view_now, self.begin))
        self.index = index
        self.progress.advance(index.identity.watermark)
        if embedding is models.installed:
            models.let_go()
            self._can_embed.set()
        return ended

    def refuse_questions(self) -> Callable[[], Awaitable[object]]:
        """Answer every question by `unavailable`, until a generation is taken over."""

        async def unavailable(_collection: str, _request: object) -> BaseModel:
            raise StoreUnavailable("the index is being looked at")

        return self.query_server.use({endpoint.name: unavailable for endpoint in catalogue.ENDPOINTS})

    async def _prefetch(self, request: BaseModel, seq: int) -> None:
        """Begin what a question that waits for the index needs, once the events that it waits for are embedded.

        Embedded before them it would hold them up, and itself with them; so it is embedded while they are stored.
        """
        await self.progress.embedded(seq)
        self._view_now.prefetch(request)

    async def let_questions_pass(self) -> None:
        """Wait while questions are worked on, a moment long."""
        await self.query_server.let_questions_pass()

    def _checkpoint_of(self, index: Generation) -> Checkpoint:
        dependencies = self._dependencies
        consumer = DurableConsumer(dependencies.bus, index.path.parent)
        return Checkpoint(consumer, index, self.progress, dependencies.workers, dependencies.source)

    def _pipeline_applier(self, index: Generation, embedding: Embedding | None) -> Applier:
        dependencies = self._dependencies
        return self._applier(
            index, embedding or dependencies.models.installed, self._deletion_results, dependencies.metrics
        )

    def _applier(
        self, index: Generation, embedding: Embedding, deletion_results: DeletionResults, metrics: Metrics
    ) -> Applier:
        return Applier(
            store=index.store,
            embedding=embedding,
            dead_letters=self._dependencies.dead_letters,
            source=self._dependencies.source,
            workers=self._dependencies.workers,
            max_collections=self._dependencies.settings.precedent_max_collections,
            vectors=index.vectors,
            deleted_text=index.deleted_text,
            deletion_results=deletion_results,
            metrics=metrics,
        )

    def _view(self, index: Generation, embedding: Embedding | None) -> IndexView:
        return IndexView(
            store=index.store,
            embedding=embedding or AbsentModel(index.identity.fingerprint, self._share_rebuilt),
            source=self._dependencies.source,
            progress=self.progress,
            workers=self._dependencies.workers,
        )

    def _share_rebuilt(self) -> float:
        job = self.jobs.current
        return job.done_seq / job.target_seq if job is not None and job.target_seq else 0.0

    def _handlers(self, view: IndexView, jobs: JobVerbs) -> dict[str, Verb]:
        dependencies = self._dependencies
        stats = Stats(
            view,
            feed=self.feed,
            dead_letters=dependencies.dead_letters,
            jobs=self.jobs,
            liveness=self.ingest.liveness,
        )
        return all_handlers(
            view,
            stats=stats,
            deletion_results=self._deletion_results,
            dead_letters=dependencies.dead_letters,
            bus=dependencies.bus,
            jobs=jobs,
        )

    def _job_verbs(self, index: Generation, applier: Applier) -> JobVerbs:
        """The verbs that start a job on a generation."""
        subject = self.subject = Subject(
            store=index.store,
            source=self._dependencies.source,
            applier=applier,
            refused=self._dependencies.dead_letters,
            progress=self.progress,
            workers=self._dependencies.workers,
            hold=self.held,
            save_watermark=self._checkpoint.save_watermark,
        )
        return JobVerbs(
            self.jobs,
            rebuild=self.rebuilder.because("it was asked for"),
            verify=lambda report: Verifier(subject).verify(report),
            repair=lambda report: Verifier(subject).repair(report),
        )
