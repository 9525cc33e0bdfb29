"""Several indexers over one Chroma server."""
