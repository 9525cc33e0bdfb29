"""Commands that ask a running indexer, or do its work where none is running."""
