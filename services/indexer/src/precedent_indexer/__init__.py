"""The indexer of Precedent: consumes security events, indexes them in Chroma, answers questions about them."""

from precedent_schemas.version import VERSION

__version__ = VERSION
