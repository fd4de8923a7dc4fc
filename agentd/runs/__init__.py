"""Supervised runs on disk: their folder, metrics, weights in other formats."""

from agentd.runs.folder import Calibration, Run, Snapshot, fingerprint
from agentd.runs.metrics import MetricsLog, read_metrics
from agentd.runs.tensorboard import EventWriter
from agentd.runs.weights import WEIGHT_FORMATS, load_weights, save_weights

__all__ = [
    "WEIGHT_FORMATS",
    "Calibration",
    "EventWriter",
    "MetricsLog",
    "Run",
    "Snapshot",
    "fingerprint",
    "load_weights",
    "read_metrics",
    "save_weights",
]
