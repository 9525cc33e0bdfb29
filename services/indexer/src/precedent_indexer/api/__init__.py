"""Questions: the server, one module for each group of verbs, filters and pages."""
