"""Layers that make of data what networks are made for: numbers in their range, and images that vary."""

from .categories import *
from .colours import *
from .geometry import *
from .hashing import *
from .lookups import *
from .mixing import *
from .numbers import *
from .text import *
