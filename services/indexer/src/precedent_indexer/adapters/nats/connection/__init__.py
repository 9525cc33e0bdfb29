"""How a connection to NATS is made and kept: the client library made tolerant, credentials, refusals, denials."""
