"""Names on the bus: what is legal, and what a subject says."""

import pytest

from precedent_schemas import subjects
from precedent_schemas.subjects import DeletionSubject, EventSubject, OutcomeSubject, SubjectError


@pytest.mark.parametrize("name", ["abc", "incidents", "rules", "a-b", "a_b", "0x0", "a" * 63, "---".join("ab")])
def test_legal_collections(name: str) -> None:
    """3 to 63 of [a-z0-9_-] between two letters or digits."""
    assert subjects.is_collection(name)


@pytest.mark.parametrize(
    "name",
    ["", "a", "ab", "a" * 64, "-ab", "ab-", "_ab", "ab_", "Abc", "a.b", "a b", "a*b", "abc\n", "äbc", "a\u0660c", "_"],
)
def test_illegal_collections(name: str) -> None:
    """Two or 64 characters, other characters, a wrong beginning or end, and a trailing newline are refused."""
    assert not subjects.is_collection(name)


@pytest.mark.parametrize("kind", ["a", "auth", "auth.brute_force", "a.b.c.d", "-", "_", "0.1"])
def test_legal_kinds(kind: str) -> None:
    """One to four tokens of [a-z0-9_-]."""
    assert subjects.is_kind(kind)


@pytest.mark.parametrize("kind", ["", ".", "a.", ".a", "a..b", "a.b.c.d.e", "Auth", "a b", "a.*", "a.>", "a\n", "é"])
def test_illegal_kinds(kind: str) -> None:
    """Five tokens, empty tokens, wildcards and other characters are refused."""
    assert not subjects.is_kind(kind)


def test_kind_prefixes() -> None:
    """Every kind that takes this one in, general to particular."""
    assert subjects.kind_prefixes("auth") == ["auth"]
    assert subjects.kind_prefixes("a.b.c") == ["a", "a.b", "a.b.c"]


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("security.events.v1.incidents.auth.brute_force", EventSubject("incidents", "auth.brute_force")),
        ("security.events.v1.rules.a.b.c.d", EventSubject("rules", "a.b.c.d")),
        ("security.outcomes.v1.incidents", OutcomeSubject("incidents")),
        ("security.deletions.v1.incidents", DeletionSubject("incidents")),
    ],
)
def test_subjects_say_what_they_are_made_of(
    subject: str, said: EventSubject | OutcomeSubject | DeletionSubject
) -> None:
    """Parsing is the inverse of building."""
    assert subjects.parse_log_subject(subject) == said
    match said:
        case EventSubject(collection, kind):
            assert subjects.event_subject(collection, kind) == subject
        case OutcomeSubject(collection):
            assert subjects.outcome_subject(collection) == subject
        case DeletionSubject(collection):
            assert subjects.deletion_subject(collection) == subject


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("security.events.v1.incidents", "kind is not one to 4 tokens"),
        ("security.events.v1.incidents.a.b.c.d.e", "kind is not one to 4 tokens"),
        ("security.events.v1.incidents.Auth", "kind is not one to 4 tokens"),
        ("security.events.v1.Incidents.auth", "collection in the subject does not match"),
        ("security.events.v1.ab.auth", "collection in the subject does not match"),
        ("security.events.v1", "none of the log's"),
        ("security.events.v2.incidents.auth", "none of the log's"),
        ("security.eventsx.v1.incidents.auth", "none of the log's"),
        ("security.dead.v1.incidents.invalid", "none of the log's"),
        ("security.outcomes.v1.incidents.auth", "collection in the subject does not match"),
        ("security.outcomes.v1.", "collection in the subject does not match"),
        ("security.deletions.v1._", "collection in the subject does not match"),
        ("", "none of the log's"),
    ],
)
def test_subjects_that_say_nothing_legal(subject: str, message: str) -> None:
    """A subject without a legal collection or kind is refused in words that fit a dead letter's detail."""
    with pytest.raises(SubjectError, match=message) as caught:
        subjects.parse_log_subject(subject)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) <= 256


@pytest.mark.parametrize(
    ("subject", "collection"),
    [
        ("security.events.v1.incidents.auth", "incidents"),
        ("security.events.v1.incidents.A.B.C.D.E", "incidents"),
        ("security.outcomes.v1.rules", "rules"),
        ("security.events.v1.Incidents.auth", None),
        ("security.events.v1", None),
        ("", None),
    ],
)
def test_collection_of_a_subject(subject: str, collection: str | None) -> None:
    """A legal collection is found also where the rest of the subject is wrong, so that dead letters can name it."""
    assert subjects.collection_of(subject) == collection


def test_dead_letter_subjects() -> None:
    """A dead letter names the collection and the reason; `_` stands for no legal collection and is none itself."""
    assert subjects.dead_letter_subject("incidents", "invalid") == "security.dead.v1.incidents.invalid"
    assert subjects.dead_letter_subject(None, "malformed") == "security.dead.v1._.malformed"
    assert not subjects.is_collection(subjects.NO_COLLECTION)


def test_question_subjects() -> None:
    """A question names the collection and the verb."""
    assert subjects.question_subject("incidents", "search") == "security.index.v1.incidents.search"


def test_standing_collections_are_legal() -> None:
    """What exists from the start obeys the rule for all."""
    assert subjects.STANDING_COLLECTIONS == ("incidents", "rules")
    assert all(map(subjects.is_collection, subjects.STANDING_COLLECTIONS))


@pytest.mark.parametrize(
    ("subject", "template"),
    [
        (subjects.event_subject("incidents", "auth.brute_force"), "security.events.v1.{collection}.{kind}"),
        (subjects.event_subject("No Collection", "?"), "security.events.v1.{collection}.{kind}"),
        (subjects.outcome_subject("incidents"), "security.outcomes.v1.{collection}"),
        (subjects.deletion_subject("incidents"), "security.deletions.v1.{collection}"),
    ],
)
def test_templates_leave_open_what_differs(subject: str, template: str) -> None:
    """There are three templates, whatever stands in a subject."""
    assert subjects.log_subject_template(subject) == template
