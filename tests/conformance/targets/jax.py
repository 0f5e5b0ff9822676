"""JAX with its 64-bit types, which are off unless asked for."""

from __future__ import annotations

import jax

from kfunc import backends

jax.config.update("jax_enable_x64", True)

xp = backends.get("jax").xp
