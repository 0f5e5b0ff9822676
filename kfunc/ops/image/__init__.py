"""The image family of `keras.ops.image`: arrays (batch, height, width, channels), or of one image without the batch."""

from .color import *
from .filtering import *
from .framing import *
from .histograms import *
from .resampling import *
from .warping import *
