"""What is freed is wiped, and what is allocated is empty."""

import ctypes
import platform

import pytest

from precedent_indexer.runtime.memory import wipe_memory

SIZES = [20_800, 174_000, 5_000_000]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
@pytest.mark.parametrize("size", SIZES)
def test_memory_comes_empty_whatever_stood_there(size: int) -> None:
    """Blocks as large as those that a graph is saved from, allocated where something else stood before."""
    assert wipe_memory()
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    secret = b"secret" * (size // 6)
    used = [libc.malloc(size) for _ in range(32)]
    for block in used:
        ctypes.memmove(block, secret, len(secret))
    for block in used:
        libc.free(block)
    again = [libc.malloc(size) for _ in range(32)]
    try:
        assert not any(b"secret" in ctypes.string_at(block, size) for block in again)
    finally:
        for block in again:
            libc.free(block)
