"""From the log into the index: supervisor, pipeline, applier, suspects and poison messages, acks, checkpoint."""
