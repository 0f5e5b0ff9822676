"""Recording for libraries without a compiler: a pure function runs once on arrays that remember what was done to them.

What is left is the list of kernel calls, without the Python that led to them: no dispatch, no tape, no trees, and
nothing whose result is not used. Kernels that are Python themselves are written down as the calls that they make. The
calls are the same, and so are the bits. Where Python asked for a value, an `if` above all, or for a shape that depends
on one, the program asks for it again, and where the answer is another one the function itself runs. It also runs where
something cannot be recorded, so recording never changes what is computed, or which error is raised.
"""

from __future__ import annotations

from .array import Recorded
from .backend import RecordBackend, record_of
from .function import RecordedFunction, recorded

__all__ = ["RecordBackend", "Recorded", "RecordedFunction", "record_of", "recorded"]
