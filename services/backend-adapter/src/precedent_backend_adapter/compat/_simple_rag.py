"""The class of the old client."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Any, Final, Self

from pydantic import TypeAdapter, ValidationError

from precedent_backend_adapter.client import Precedent
from precedent_backend_adapter.compat import _items
from precedent_backend_adapter.compat._clients import Clients
from precedent_backend_adapter.compat._items import Item, Rule, ScoredItem, ScoredRule
from precedent_backend_adapter.compat._values import embeddable
from precedent_backend_adapter.config.environment import config_from_environment, split_urls
from precedent_backend_adapter.errors import Misconfigured, NotFound, Overloaded, PrecedentError, Refused, TooLarge
from precedent_backend_adapter.interface import PrecedentClient
from precedent_backend_adapter.receipts import Receipt
from precedent_schemas import INCIDENTS, RULES, Filter, Hit, Order, SecurityEvent
from precedent_schemas.fields import StoredId
from precedent_schemas.limits import MAX_K, MAX_WAIT_MS

_PATIENCE_S: Final = MAX_WAIT_MS / 1_000
_PAUSE_S: Final = 0.1
ALLOW_CLEAR: Final = "PRECEDENT_COMPAT_ALLOW_CLEAR"
"""The variable that lets `clear_all` remove the collection."""
_YES: Final = ("1", "true", "yes")
_ID: Final[TypeAdapter[str]] = TypeAdapter(StoredId)


class SimpleRAG:
    """The old client's methods, over NATS instead of HTTP.

    It connects at the first call, once for each event loop that calls; `close` (or `async with`) leaves. Every
    method can raise what the adapter raises (`PrecedentError`); none hides a failure in its result. What becomes of
    odd values is said in the description of `precedent_backend_adapter.compat`.

    Args:
        url: one server, or several separated by commas; absent or empty: `NATS_URL`. Everything else, credentials
            say, comes from the other `NATS_*` variables, which are read when a connection is opened.
        allow_clear: let `clear_all` remove the collection; so does the variable `PRECEDENT_COMPAT_ALLOW_CLEAR=1`.

    Raises:
        Misconfigured: `url` is none, such as the old service's `http://` address.
    """

    def __init__(self, url: str | None = None, *, allow_clear: bool = False) -> None:
        self._allow_clear = allow_clear
        given = {"NATS_URL": url} if url else {}
        if url:
            _check(url)

        def connect() -> AbstractAsyncContextManager[PrecedentClient]:
            environ = {**os.environ, **given}  # noqa: TID251 -- the old client took its settings from there
            urls, config = config_from_environment(environ)
            return Precedent.connect(urls, config=config)

        self._clients = Clients(connect)

    @classmethod
    def over(cls, client: PrecedentClient, *, allow_clear: bool = False) -> Self:
        """The same methods over a client that the caller has and closes: an `InMemoryPrecedent` in tests, say."""
        made = cls(allow_clear=allow_clear)
        made._clients = Clients(lambda: nullcontext(client))
        return made

    async def close(self) -> None:
        """Leave the connection of the running event loop; a later call opens another."""
        await self._clients.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- items

    async def add_item(
        self, reasoning: str, user: str, ip: str, severity: int, metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Publish one incident to the log and wait until it can be found; two equal calls are two items.

        Args:
            reasoning: what happened; this alone is embedded.
            user: the user concerned.
            ip: the address concerned.
            severity: 1 to 5.
            metadata: the caller's own keys; `user`, `ip`, `severity` and `timestamp` are hidden by the item's own.

        Returns:
            The new id.

        Raises:
            NotDelivered: it is not in the log; also where it is too large for one message (256 KiB).
            DeliveryUnknown: it may be in the log; `error.pending` can be republished.
            NotIndexedYet: it is in the log and not yet found after 30 seconds. This, and whatever else is raised
                after the log took it, carries a note with the id: it need not be added again.
        """
        return await self._add(_items.item_event(reasoning, user, ip, severity, metadata))

    async def query_items(self, query_text: str, k: int = 5) -> list[ScoredItem]:
        """The `k` nearest items, nearest first: `{"id", "text", "score", "metadata"}`.

        `score` is the old distance, 2 * (1 - cosine): 0 for the same meaning, smaller is nearer. At most 1,000 come
        back, whatever `k`. An empty or over-long query is treated as such a text is.
        """
        hits = await self._nearest(query_text, k, INCIDENTS, None)
        return [_items.scored_item(hit.event, hit.similarity) for hit in hits]

    async def get_all_items(self) -> list[Item]:
        """All items, oldest first: `{"id", "text", "metadata"}`. Everything at once is in memory then."""
        client = await self._clients.get()
        pages = client.list(collection=INCIDENTS, order=Order.OLDEST, page_size=MAX_K)
        return [_items.item(entry.event) async for entry in pages]

    async def delete_item(self, item_id: str) -> bool:
        """Remove an item for good, from the index and the log; whether it was there."""
        return await self._delete(item_id, INCIDENTS)

    async def get_stats(self) -> dict[str, Any]:
        """How many items there are, and where: `{"total_items", "collection_name"}`."""
        client = await self._clients.get()
        return {"total_items": (await client.collection_stats(INCIDENTS)).count, "collection_name": INCIDENTS}

    async def clear_all(self) -> bool:
        """Remove all items for good, those of other publishers too, and no rule; True, or an exception.

        Raises:
            Refused: neither `allow_clear` nor `PRECEDENT_COMPAT_ALLOW_CLEAR` allows it; says how many events would go.
        """
        client = await self._clients.get()
        if not (self._allow_clear or os.environ.get(ALLOW_CLEAR, "").lower() in _YES):  # noqa: TID251 -- as above
            raise await _clear_not_allowed(client)
        await client.clear(INCIDENTS, confirm=INCIDENTS)
        return True

    # -- rules

    async def add_rule(
        self,
        original_text: str,
        refined_text: str,
        category: str = _items.DEFAULT_CATEGORY,
        severity: str = _items.DEFAULT_SEVERITY_LABEL,
        rule_id: str | None = None,
        timestamp: str | None = None,
    ) -> str:
        """Publish one rule to the log and wait until it can be found; as `add_item`.

        Args:
            original_text: the rule as a person wrote it.
            refined_text: the rule as it is embedded and found.
            category: what `query_rules` can ask for.
            severity: in a word: informational, low, medium, high, critical; another is kept and counts as the lowest.
            rule_id: replaces the rule that has it; absent: a new one.
            timestamp: when it was made, ISO 8601, UTC where it has no offset; absent: now.

        Returns:
            The id.

        Raises:
            Refused: `rule_id` is none: 1 to 128 of `[A-Za-z0-9._:@/+=-]`, not beginning with `seq-`.
        """
        return await self._add(_items.rule_event(original_text, refined_text, category, severity, rule_id, timestamp))

    async def query_rules(self, query_text: str, k: int = 5, category: str | None = None) -> list[ScoredRule]:
        """The `k` nearest rules, nearest first, of one category where it is given; as `query_items`.

        Each is `{"id", "original_text", "refined_text", "category", "severity", "timestamp", "similarity_score"}`;
        `similarity_score` is what it was: 1 - distance, which is 2 * cosine - 1.
        """
        wanted = Filter(attributes={"category": category}) if category else None
        hits = await self._nearest(query_text, k, RULES, wanted)
        return [_items.scored_rule(hit.event, hit.similarity) for hit in hits]

    async def get_rules(self) -> list[Rule]:
        """All rules, oldest first, in the shape of `query_rules` without `similarity_score`."""
        client = await self._clients.get()
        pages = client.list(collection=RULES, order=Order.OLDEST, page_size=MAX_K)
        return [_items.rule(entry.event) async for entry in pages]

    async def delete_rule(self, rule_id: str) -> bool:
        """Remove a rule for good, from the index and the log; whether it was there."""
        return await self._delete(rule_id, RULES)

    # -- shared

    async def _add(self, event: SecurityEvent) -> str:
        client = await self._clients.get()
        receipt = await client.publish(event)
        try:
            await _until_found(client, receipt)
        except PrecedentError as error:
            error.add_note(f"{receipt.id!r} is in the log, sequence {receipt.seq}: do not add it again")
            raise
        return receipt.id

    async def _nearest(self, text: str, k: int, collection: str, wanted: Filter | None) -> list[Hit]:
        """As many as asked for, in several answers where they do not fit into one."""
        client = await self._clients.get()
        left = min(k, MAX_K)
        at_once = left
        found: list[Hit] = []
        while True:
            asked = min(at_once, left)
            exclude = [hit.event.id for hit in found]
            narrowed = (wanted or Filter()).model_copy(update={"exclude_ids": exclude}) if exclude else wanted
            try:
                reply = await client.search(embeddable(text), collection=collection, k=asked, filter=narrowed)
            except TooLarge:
                if at_once <= 1:
                    raise
                at_once //= 2
                continue
            found += reply.hits
            left -= len(reply.hits)
            if left <= 0 or len(reply.hits) < asked:
                return found

    async def _delete(self, event_id: str, collection: str) -> bool:
        try:
            _ID.validate_python(event_id)
        except ValidationError:
            # Nothing can have such an id.
            return False
        client = await self._clients.get()
        return event_id in (await client.delete([event_id], collection=collection)).deleted


async def _clear_not_allowed(client: PrecedentClient) -> Refused:
    total = (await client.collection_stats(INCIDENTS)).count
    own = client.list(collection=INCIDENTS, filter=Filter(kinds=[_items.KIND]), page_size=MAX_K)
    others = total - len([entry async for entry in own])
    message = (
        f"clear_all would remove all {total} events of {INCIDENTS!r} for good, of which {others} are of other "
        f"publishers (of another kind than {_items.KIND!r}): to do so, construct SimpleRAG(allow_clear=True) or set "
        f"{ALLOW_CLEAR}=1"
    )
    return Refused(message, reason="clear_not_allowed", code=0)


def _check(url: str) -> None:
    try:
        split_urls(url)
    except Misconfigured as error:
        remedy = "leave the URL out and set NATS_URL=nats://host:4222, or give such a URL here"
        raise Misconfigured([*error.found, remedy]) from error


async def _until_found(client: PrecedentClient, receipt: Receipt) -> None:
    """Wait until the index has reached an event.

    Raises:
        PrecedentError: it was not to be had within 30 seconds.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + _PATIENCE_S
    while True:
        left = max(deadline - clock(), 0.0)
        try:
            # By id, since that needs no embedding; and nothing is so similar that much comes back.
            await client.search(
                id=receipt.id, collection=receipt.collection, k=1, min_similarity=1.0, after=receipt, wait=left
            )
        except NotFound:
            # Reached, and already deleted by another client.
            return
        except Overloaded:
            if left <= 0:
                raise
            await asyncio.sleep(_PAUSE_S)
        else:
            return
