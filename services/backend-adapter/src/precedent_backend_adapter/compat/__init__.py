"""The old HTTP client, kept alive over NATS: a backend that used it changes one import.

    from precedent_backend_adapter.compat import SimpleRAG, add_security_incident, query_similar_items

Methods, arguments and results are the old ones. The items are events of the collection `incidents`, of the kind
`unclassified` (`KIND`), and the rules events of the collection `rules`, of the kind `rule` (`RULE_KIND`): whatever
else speaks to Precedent sees them, and what others publish is seen here.

Settings come from the environment: `NATS_URL` and the other `NATS_*` variables (see `config.environment`), and
`PRECEDENT_COMPAT_ALLOW_CLEAR`: set to 1, it lets `clear_all` remove the collection, and other publishers' events in it.

What is odd is kept. Every call below works, and `text` and `metadata` show again what was given:

| given | in the log |
| --- | --- |
| `ip` that is no address | no `ip`; attribute `ip` |
| `ip` in another spelling than the usual | `ip` in the usual one; attribute `ip` as it was |
| `severity` 0, 9, 3.5 or `"4"` | the nearest of 1 to 5; attribute `severity` |
| `severity` in words, as `"high"` | 1 to 5 from `informational` to `critical`, 1 by default; attribute `severity` |
| `user` empty or longer than 256 characters | no `user`; attribute `user` |
| `user` or `ip` that is no string | what `str` makes of it; a number also as itself, in the attribute |
| `user`, `ip` or `severity` None | absent; shown as `""`, `""` and 1 |
| a text with spaces around it | trimmed; the spaces in `compat.rest` |
| a text longer than 32,768 characters | its beginning, which alone is embedded; the rest in `compat.rest` |
| an empty text | `(no text)`; the text itself in `compat.rest` |
| a value that is None | left out, as of old |
| a value that is no scalar | a string: what `str` makes of it, as of old |
| a key that is no string | a string, as of old |
| keys that attributes do not allow, or more than 64 | in `compat.rest` |
| values longer than 16,384 characters | in `compat.rest` |
| NaN, infinities, integers beyond 64 bit, lone surrogates | in `compat.rest` |
| own keys `user`, `ip`, `severity`, `timestamp` | in `compat.rest`, and hidden by the item's own, as of old |
| keys that become the same string, as 1 and `"1"` | the last; the others in `compat.rest`, hidden by it |

`compat.rest` is one attribute that holds JSON; filters do not see into it. One message has at most 256 KiB: what is
larger even when packed is refused by `NotDelivered`, with the reason `too_large`, and is not in the log.

`timestamp` is UTC without an offset, as it was. What the old client did not do:
`delete_item` deletes; and `clear_all` raises if it cannot, instead of returning False, and is refused unless it was
allowed. Failures are those of the adapter (`PrecedentError`).
"""

from collections.abc import Mapping
from typing import Any

from precedent_backend_adapter.compat._items import KIND, RULE_KIND, Item, Rule, ScoredItem, ScoredRule
from precedent_backend_adapter.compat._simple_rag import SimpleRAG

__all__ = [
    "KIND",
    "RULE_KIND",
    "Item",
    "Rule",
    "ScoredItem",
    "ScoredRule",
    "SimpleRAG",
    "add_incident_from_csv",
    "add_security_incident",
    "clear_all_incidents",
    "close",
    "get_all_flagged_items",
    "get_rag_stats",
    "query_similar_items",
    "rag",
]

rag = SimpleRAG()
"""The client behind the functions of this module; it connects when it is first used."""


async def add_security_incident(
    reasoning: str, user: str, ip: str, severity: int, metadata: Mapping[str, Any] | None = None
) -> str:
    """As `SimpleRAG.add_item`."""
    return await rag.add_item(reasoning, user, ip, severity, metadata)


async def add_incident_from_csv(user: str, ip: str, severity: int, reasoning: str) -> str:
    """As `SimpleRAG.add_item`, in the order of the columns of the old files."""
    return await rag.add_item(reasoning, user, ip, severity)


async def query_similar_items(query: str, k: int = 5) -> list[ScoredItem]:
    """As `SimpleRAG.query_items`."""
    return await rag.query_items(query, k)


async def get_all_flagged_items() -> list[Item]:
    """As `SimpleRAG.get_all_items`."""
    return await rag.get_all_items()


async def get_rag_stats() -> dict[str, Any]:
    """As `SimpleRAG.get_stats`."""
    return await rag.get_stats()


async def clear_all_incidents() -> bool:
    """As `SimpleRAG.clear_all`."""
    return await rag.clear_all()


async def close() -> None:
    """Leave the connection that these functions share in the running event loop; a later call opens another."""
    await rag.close()
