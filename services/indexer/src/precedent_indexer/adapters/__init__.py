"""Doors to the outside: the bus, the store and the model runtime, each imported in one module."""
