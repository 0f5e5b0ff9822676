"""Models of Keras, in both directions: `.keras` and `.h5` files, for which Keras is not needed, and live models."""

from .archives import load, load_weights, save_weights
from .configs import Built, built
from .live import convert
from .writing import config_of, save

__all__ = ["Built", "built", "config_of", "convert", "load", "load_weights", "save", "save_weights"]
