"""What every client does about publishing many events at once; see `client_conformance` for how to use it."""

from collections.abc import AsyncIterator

from client_conformance import PORT_SCAN, an_event, indexed

from precedent_backend_adapter import PrecedentClient, PublishProgress, Refused, SecurityEvent


class PublishManyConformance:
    """Receipts, failures and revisions of one call."""

    async def test_many_are_all_found_under_their_receipts(self, client: PrecedentClient, collection: str) -> None:
        """Every event of one call is in the index, under the id and sequence that its receipt says."""
        told: list[PublishProgress] = []
        events = [an_event(collection, id=f"e-{n}" if n % 2 else None) for n in range(40)]
        report = await (await client.publish_many(events, window=8, progress=told.append)).delivered()
        assert sorted(report.receipts) == list(range(40))
        assert (told[-1].published, told[-1].failed, len(told)) == (40, 0, 40)
        await indexed(client, max(report.receipts.values(), key=lambda receipt: receipt.seq))
        reply = await client.get([receipt.id for receipt in report.receipts.values()], collection=collection)
        assert {entry.event.id: entry.seq for entry in reply.events} == {
            receipt.id: receipt.seq for receipt in report.receipts.values()
        }

    async def test_the_last_of_many_revisions_is_the_one_that_counts(
        self, client: PrecedentClient, collection: str
    ) -> None:
        """Revisions of one id in one call are applied in the order given."""

        async def revisions() -> AsyncIterator[SecurityEvent]:
            for number in range(10):
                yield an_event(collection, id="a", severity=number % 5 + 1)
            yield an_event(collection, id="a", text=PORT_SCAN)

        report = await (await client.publish_many(revisions())).delivered()
        await indexed(client, report.receipts[10])
        assert report.last_seq == report.receipts[10].seq
        [entry] = (await client.get(["a"], collection=collection)).events
        assert (entry.event.text, entry.seq) == (PORT_SCAN, report.receipts[10].seq)

    async def test_one_that_is_refused_leaves_the_others(self, client: PrecedentClient, collection: str) -> None:
        """The refusal is in the report at its position, and its neighbours are in the log."""
        wrong = an_event(collection, id="b").model_copy(update={"severity": 9})
        report = await client.publish_many([an_event(collection, id="a"), wrong, an_event(collection, id="c")])
        assert isinstance(report.failures[1], Refused)
        assert [report.receipts[at].id for at in (0, 2)] == ["a", "c"]
