"""A backend that was written against the old client, with the agent libraries beside it; prints what it saw as JSON.

It runs in an environment of its own, which holds cosmpy and uagents, against the server that `NATS_URL` names.
"""

import asyncio
import importlib.util
import json
import sys
from importlib.metadata import version
from typing import Any

import uagents  # type: ignore[import-not-found]  # this environment alone has it
from cosmpy.aerial.wallet import LocalWallet  # type: ignore[import-not-found]  # as above

from precedent_backend_adapter.compat import (
    SimpleRAG,
    add_incident_from_csv,
    add_security_incident,
    clear_all_incidents,
    close,
    get_all_flagged_items,
    get_rag_stats,
    query_similar_items,
)

BRUTE_FORCE = "User attempted to log into the admin account over 5000 times within 30 seconds"
SCANNER = "Excessive GET requests to the documentation without any attempt at modification"
EXFILTRATION = "40 GB were copied from the customer database to an unknown host at night"


class Incident(uagents.Model):  # type: ignore[misc]  # the library has no types here
    """What the agents send to each other."""

    reasoning: str
    user: str
    ip: str
    severity: int


async def with_the_class() -> dict[str, Any]:
    """Items and rules by the methods of the class."""
    async with SimpleRAG() as rag:
        seen: dict[str, Any] = {"stats_before": await rag.get_stats()}
        incident = Incident(reasoning=BRUTE_FORCE, user="user_001", ip="192.168.1.24", severity=5)
        first = await rag.add_item(**incident.dict(), metadata={"rule": "r1", "path": ["a", "b"], "none": None})
        seen["found_at_once"] = await rag.query_items(BRUTE_FORCE, k=1)
        twin = await rag.add_item(incident.reasoning, incident.user, incident.ip, incident.severity)
        odd_text = f" {SCANNER} " + "and again " * 4_000
        odd = await rag.add_item(odd_text, "", "printer-7", 9, {"odd key!": float("inf"), "big": 2**70, "": ""})
        empty = await rag.add_item("", "u" * 300, "", 0, {f"key-{number}": number for number in range(80)})
        seen["ids"] = {"first": first, "twin": twin, "odd": odd, "empty": empty}
        items = await rag.get_all_items()
        seen["items"] = {item["id"]: item["metadata"] for item in items}
        seen["odd_text_is_whole"] = {item["id"]: item["text"] for item in items}[odd] == odd_text
        seen["odd_is_found"] = odd in [item["id"] for item in await rag.query_items(odd_text)]
        seen["query"] = await rag.query_items("password guessing against the administrator", k=2)
        seen["stats"] = await rag.get_stats()
        seen["deleted"] = [await rag.delete_item(twin), await rag.delete_item(twin)]
        seen["after_delete"] = [item["id"] for item in await rag.get_all_items()]

        block = await rag.add_rule(
            "lock them out", "Lock the account after 100 failed logins", "auth", "high", timestamp="2025-10-25T12:00:00"
        )
        await rag.add_rule("no scans", "Ignore slow scanners of the documentation", category="network", severity="low")
        seen["block"] = block
        seen["rules"] = await rag.get_rules()
        seen["rules_found"] = await rag.query_rules("too many failed login attempts", k=1)
        seen["rules_of_network"] = await rag.query_rules("too many failed login attempts", category="network")
        seen["rules_deleted"] = [await rag.delete_rule(block), await rag.delete_rule(block)]
        seen["rules_left"] = len(await rag.get_rules())
        seen["cleared"] = await rag.clear_all()
        seen["stats_after"] = await rag.get_stats()
        return seen


async def with_the_functions() -> dict[str, Any]:
    """Items by the functions of the module, over the client that they share."""
    first = await add_security_incident(BRUTE_FORCE, "user_001", "192.168.1.24", 5, {"source": "functions"})
    await asyncio.gather(
        add_incident_from_csv("api_tester_23", "172.16.5.101", 2, SCANNER),
        add_incident_from_csv("john_doe", "203.0.113.12", 4, EXFILTRATION),
    )
    return {
        "first": first,
        "stats": await get_rag_stats(),
        "all": sorted(item["text"] for item in await get_all_flagged_items()),
        "nearest": await query_similar_items("data theft from the database", k=1),
        "default_k": len(await query_similar_items("anything")),
    }


async def clearing() -> dict[str, Any]:
    """Leaving nothing behind, and the connection closed."""
    cleared = await clear_all_incidents()
    left = await get_rag_stats()
    await close()
    return {"cleared": cleared, "stats": left}


def main() -> None:
    """Everything, in several event loops, as scripts of the old days did."""
    report = {
        "beside": {name: version(name) for name in ("cosmpy", "uagents", "protobuf")},
        "wallet": str(LocalWallet.generate().address()),
        "not_here": [name for name in ("chromadb", "onnxruntime", "openvino") if importlib.util.find_spec(name)],
        "class": asyncio.run(with_the_class()),
        # This loop ends without a word to the shared client: the next one connects anew.
        "functions": asyncio.run(with_the_functions()),
        "clearing": asyncio.run(clearing()),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
