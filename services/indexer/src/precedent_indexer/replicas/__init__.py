"""Several indexers over one Chroma server: all answer, and the holder of the lease writes."""
