"""Texts of the world, and what tries to pass for text."""

import string

import pytest

from harness.wire import Wire

TEXTS = {
    "accents": "Müller's Zugang gesperrt: naïve façade, ångström",
    "cyrillic": "Пять тысяч неудачных входов для администратора",
    "chinese": "管理员三十秒内五千次登录失败",
    "arabic": "خمسة آلاف محاولة دخول فاشلة",
    "hebrew": "חמשת אלפים ניסיונות כניסה",
    "thai": "พยายามเข้าสู่ระบบล้มเหลว",
    "emoji": "👩‍👩‍👧‍👦 alarm 🚨🏳️‍🌈",
    "combining": "e\u0301 is not \u00e9 here",
    "right to left override": "invoice\u202efdp.exe",
    "zero width": "ad\u200bmin\ufeff",
    "control": "bell \x07 escape \x1b[31m delete \x7f",
    "nul": "before\x00after",
    "newlines": "one\ntwo\r\nthree\ttabbed",
    "quotes": "' OR 1=1; DROP TABLE events; -- \" \\ %s {0} ${jndi:ldap://x}",
    "wildcards": "100% of * > ? _ [a-z]",
    "json": '{"text": "nested"}',
    "markup": "<script>alert(1)</script> &amp;",
    "special tokens": "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "beyond the basic plane": "\U00013000\U0001d518",
    "one character": "x",
    "one digit": "7",
    "a dot": ".",
    "one word": "a" * 5000,
    "long": ("failed login for root from 192.0.2.1; " * 100).strip(),
    "as long as can be": "ü" * 32_768,
}


@pytest.mark.parametrize("name", TEXTS)
async def test_a_text_comes_back_to_the_letter(wire: Wire, collection: str, name: str) -> None:
    """Stored, found by its own text with the highest similarity, and found by a piece of it."""
    text = TEXTS[name]
    await wire.event(collection, "something else altogether", id="other")
    seq = await wire.event(collection, text, id="a", user=text[:200], attributes={"note": text[:1000]})
    await wire.covered(seq)
    event = (await wire.entry(collection, "a"))["event"]
    assert event["text"] == text
    assert (event["user"], event["attributes"]) == (text[:200], {"note": text[:1000]})
    [hit, *_] = (await wire.search(collection, text=text))["hits"]
    assert hit["event"]["id"] == "a"
    assert hit["similarity"] > 0.99
    for wanted in ({"contains": text[:1000]}, {"users": [text[:200]]}, {"attributes": {"note": text[:1000]}}):
        assert await wire.listed(collection, filter=wanted) == ["a"], wanted


async def test_escaped_and_plain_json_are_the_same_text(wire: Wire, collection: str) -> None:
    """How the publisher wrote its JSON makes no difference, pairs of surrogates included."""
    escaped = b'{"id": "a", "text": "\\ud83d\\udea8 M\\u00fcller\\u0000"}'
    await wire.publish(f"security.events.v1.{collection}.test", escaped)
    await wire.covered(
        await wire.publish(f"security.events.v1.{collection}.test", '{"id": "b", "text": "🚨 Müller\\u0000"}'.encode())
    )
    texts = {(await wire.entry(collection, name))["event"]["text"] for name in ("a", "b")}
    assert texts == {"🚨 Müller\x00"}


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\r\n", "\u00a0", "\u3000"])
async def test_what_surrounds_a_text_is_trimmed(wire: Wire, collection: str, blank: str) -> None:
    """Blanks of every alphabet around a text are no part of it."""
    await wire.covered(await wire.event(collection, f"{blank}a b{blank}", id="a"))
    assert (await wire.entry(collection, "a"))["event"]["text"] == "a b"


async def test_an_id_of_every_legal_character_serves_everywhere(wire: Wire, collection: str) -> None:
    """All characters that an id may have, and its full length, work in every verb."""
    name = (string.ascii_letters + string.digits + "._:@/+=-").ljust(128, "x")
    await wire.event(collection, "an event", id="other")
    await wire.event(collection, "an event", id=name)
    await wire.covered(await wire.outcome(collection, name, "benign"))
    assert (await wire.entry(collection, name))["outcome"]["event_id"] == name
    assert await wire.found(collection, id="other") == [name]
    assert await wire.found(collection, id=name) == ["other"]
    assert await wire.listed(collection, filter={"exclude_ids": [name]}) == ["other"]
    assert (await wire.of(collection, "delete", ids=[name]))["deleted"] == [name]


async def test_numbers_keep_their_kind(wire: Wire, collection: str) -> None:
    """Integers of 64 bit, fractions and negatives come back as they were, not as neighbours of themselves."""
    attributes = {
        "largest": 2**63 - 1,
        "smallest": -(2**63),
        "odd": 2**53 + 1,
        "tenth": 0.1,
        "tiny": 5e-324,
        "huge": 1.7976931348623157e308,
        "list": [2**63 - 1, -1, 0],
    }
    await wire.covered(await wire.event(collection, "numbers", id="a", attributes=attributes))
    assert (await wire.entry(collection, "a"))["event"]["attributes"] == attributes
    assert await wire.listed(collection, filter={"attributes": {"odd": 2**53 + 1}}) == ["a"]
    assert await wire.listed(collection, filter={"attributes": {"odd": 2**53}}) == []
