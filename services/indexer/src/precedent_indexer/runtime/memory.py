"""Memory that is let go of is wiped, so that what is written to disk as it was allocated holds nobody's words.

Chroma's graph is saved with room for rows to come. That room is memory that was never written to; what stood there
before (a text that was decoded, and is deleted by now) would go into the file with it.
"""

import ctypes
from typing import Final

_M_PERTURB: Final = -6
"""Of glibc's mallopt(3): what is freed is filled with a byte, what is allocated with its complement.

But for blocks up to a kilobyte, which it hands out again as they are: the graph's are larger.
"""
_WIPED_WITH: Final = 0xFF
"""So that what is allocated is zero."""


def wipe_memory() -> bool:
    """From now on, for the whole process; whether this C library can do that (glibc can)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_PERTURB, _WIPED_WITH))
