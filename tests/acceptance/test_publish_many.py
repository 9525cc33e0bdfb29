"""Many events at once over a real server and a real indexer: as every client does it."""

from many_conformance import PublishManyConformance


class TestPublishMany(PublishManyConformance):
    pass
