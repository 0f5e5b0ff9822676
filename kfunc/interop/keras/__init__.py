"""Models of Keras, in both directions: `.keras` and `.h5` files, for which Keras is not needed, and live models."""

from .configs import Built, built

__all__ = ["Built", "built"]
