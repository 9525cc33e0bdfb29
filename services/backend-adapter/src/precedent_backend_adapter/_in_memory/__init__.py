"""A log and an index in memory, behind `testing.InMemoryPrecedent`."""
