"""The methods of the synchronous client, by subject."""
