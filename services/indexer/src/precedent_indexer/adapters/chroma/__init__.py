"""The only importer of chromadb."""
