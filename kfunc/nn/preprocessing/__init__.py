"""Layers that make of data what networks are made for: numbers in their range, and images that vary."""

from .geometry import *
from .numbers import *
