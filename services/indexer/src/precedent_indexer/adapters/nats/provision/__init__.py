"""What must exist on the server before an indexer works: permissions, streams, the durable consumer."""
