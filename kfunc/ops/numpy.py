"""`keras.ops.numpy`: the functions that have NumPy's names."""

from .contraction import *
from .control import vectorize as vectorize
from .creation import *
from .elementwise import *
from .indexing import *
from .joining import *
from .linalg import *
from .manipulation import *
from .nans import *
from .products import *
from .segment import *
from .sorting import *
from .special import *
from .standard import *
from .statistics import *
from .tapers import *
