"""The tape around NumPy: arrays that remember how they were made."""

from kfunc import backends
from kfunc.tracing import tape

xp = tape.tape_of(backends.get("numpy")).xp
