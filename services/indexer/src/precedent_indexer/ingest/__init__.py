"""From the log into the index: supervisor, pipeline, applier, poison messages, acknowledgements, checkpoint."""
