"""Layers that make of data what networks are made for: numbers in their range, and images that vary."""

from .colours import *
from .geometry import *
from .mixing import *
from .numbers import *
