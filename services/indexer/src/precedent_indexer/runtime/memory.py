"""Overwrites freed memory, so that no deleted text gets to disk with memory that was allocated and not written.

Chroma saves its graph with room for further rows. That room is memory that was never written; its former content,
perhaps a text that was deleted since, would go into the file.
"""

import ctypes
from typing import Final

_M_PERTURB: Final = -6
"""Option of glibc's mallopt(3): freed memory is filled with a byte, allocated memory with its complement.

Blocks of up to a kilobyte are not filled; those of the graph are larger.
"""
_WIPED_WITH: Final = 0xFF
"""Its complement fills allocated memory with zeros."""


def wipe_memory() -> bool:
    """Turn the option on for the whole process; whether the C library has it (glibc does)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_PERTURB, _WIPED_WITH))
