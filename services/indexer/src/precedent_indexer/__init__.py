"""The indexer of Precedent: consumes security events, indexes them in Chroma, answers questions about them."""

__version__ = "0.1.0"
