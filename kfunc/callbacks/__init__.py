"""Callbacks: what is done besides training, at the ends of batches and epochs."""

from .base import Callback, CallbackList
from .logs import CSVLogger, History, LambdaCallback, ProgbarLogger, RemoteMonitor
from .monitors import EarlyStopping, MonitorCallback, ReduceLROnPlateau
from .rates import LearningRateScheduler
from .saving import BackupAndRestore, ModelCheckpoint, OrbaxCheckpoint
from .tensorboard import TensorBoard
from .training import SwapEMAWeights, TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "OrbaxCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
