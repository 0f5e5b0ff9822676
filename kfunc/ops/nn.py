"""`keras.ops.nn`: the functions that networks are made of."""

from .activation import *
from .attention import *
from .conv import *
from .crossentropy import *
from .ctc import *
from .elementwise import polar as polar
from .indexing import multi_hot as multi_hot
from .indexing import one_hot as one_hot
from .normalization import *
from .patches import *
from .pool import *
