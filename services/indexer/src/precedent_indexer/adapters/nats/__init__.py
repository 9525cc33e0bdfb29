"""NATS: the connection, the service, the streams. The only importer of nats."""
