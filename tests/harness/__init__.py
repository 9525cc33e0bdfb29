"""Real servers, real processes and bad links, for the tests and the demo."""
