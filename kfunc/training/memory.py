"""A hint to the C library that it should keep the memory of arrays for the next step."""

from __future__ import annotations

import functools

__all__ = ["keep_pages"]


@functools.cache
def keep_pages() -> None:
    """Let glibc keep freed memory, once a process.

    glibc gives blocks of 128 KB and more back to the system when they are freed, and fetches them anew, page by page,
    until the program has freed a larger one: that takes up to a third of a step. Here one block of just under 32 MB,
    the largest that counts, is allocated and freed. No page of it is touched, so it takes no memory.

    To switch it off, give glibc a bound of your own before Python starts: MALLOC_MMAP_THRESHOLD_=131072 in the
    environment. On other C libraries nothing happens.

    Source: https://man7.org/linux/man-pages/man3/mallopt.3.html, M_MMAP_THRESHOLD.
    """
    import numpy as np

    np.empty((32 << 20) - (64 << 10), np.uint8)
