"""The adapter's own definition of a client, kept by the real one over a real server and a real indexer."""

from client_conformance import PublishConformance, QuestionConformance
from removal_conformance import DeadLetterConformance, RemovalConformance


class TestPublish(PublishConformance):
    pass


class TestQuestions(QuestionConformance):
    pass


class TestRemoval(RemovalConformance):
    pass


class TestDeadLetters(DeadLetterConformance):
    pass
