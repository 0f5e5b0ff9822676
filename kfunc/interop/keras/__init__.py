"""Models of Keras, in both directions: `.keras` and `.h5` files, for which Keras is not needed, and live models."""

from .archives import load, load_weights, save_weights
from .configs import Built, built

__all__ = ["Built", "built", "load", "load_weights", "save_weights"]
