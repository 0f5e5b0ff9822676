"""Data for `Model`: from arrays, iterables, and other libraries' loaders to batches."""

from .batches import Batch
from .dataset import Dataset
from .sources import Source, source

__all__ = ["Batch", "Dataset", "Source", "source"]
