"""Where the indexer meets what it does not own: NATS, Chroma and the model runtime."""
