"""Functions of arrays: all of `keras.ops` under the same names, and further ones that layers need.

Functions of the Array API standard are dispatched to the arrays' namespace. All others are written once, with the
standard's functions, and a backend lowers those that it does better.
"""

from . import image as image
from . import nn as nn
from . import numpy as numpy
from ._op import Op as Op
from .activation import *
from .attention import *
from .contraction import *
from .control import *
from .conv import *
from .creation import *
from .crossentropy import *
from .ctc import *
from .dropout import *
from .elementwise import *
from .indexing import *
from .joining import *
from .linalg import *
from .linear import *
from .manipulation import *
from .nans import *
from .normalization import *
from .optimize import *
from .patches import *
from .pool import *
from .products import *
from .recurrent import *
from .segment import *
from .signal import *
from .sorting import *
from .special import *
from .standard import *
from .statistics import *
from .tapers import *
