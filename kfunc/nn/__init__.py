"""Layers: frozen dataclasses with pure `init` and `apply`."""

from ..elsewhere import looked_up as _looked_up
from ..registry import configs as _configs
from . import activations as activations
from . import applications as _applications  # noqa: F401  (files may name its layers)
from . import constraints as constraints
from . import dtype_policies as dtype_policies
from . import initializers as initializers
from . import regularizers as regularizers
from .activations import ELU as ELU
from .activations import Activation as Activation
from .activations import LeakyReLU as LeakyReLU
from .activations import PReLU as PReLU
from .activations import ReLU as ReLU
from .activations import Softmax as Softmax
from .attention import *
from .cells import *
from .combinators import *
from .conv import *
from .convlstm import *
from .core import *
from .dense import *
from .dropout import *
from .embedding import *
from .freezing import freeze as freeze
from .freezing import unfreeze as unfreeze
from .graph import Graph as Graph
from .graph import Input as Input
from .jax_layer import *
from .layer import Aux as Aux
from .layer import Layer as Layer
from .layer import layer as layer
from .merging import *
from .normalization import *
from .operations import *
from .pooling import *
from .position_bias import *
from .preprocessing import *
from .recurrent import *
from .reshaping import *
from .rotary import *
from .scope import Scope as Scope
from .tfsm_layer import *
from .torch_module_wrapper import *
from .wrappers import *

serialize, deserialize = _configs("layer")

__getattr__ = _looked_up(__name__)
