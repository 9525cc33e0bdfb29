"""The only importer of the model runtime."""
