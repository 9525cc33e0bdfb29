"""The only importer of nats."""
