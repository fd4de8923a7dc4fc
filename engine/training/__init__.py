"""Supervised training: a run's description, the trainer, its reports and who listens to them."""

from agentd.engine.training.objective import Objective
from agentd.engine.training.reports import EpochReport, EpochSums, EvaluationReport
from agentd.engine.training.spec import (
    DataSpec,
    SaveSpec,
    StopSpec,
    TrainSpec,
    convert_spec,
    fit_network,
    load_spec,
    make_network,
    plain_spec,
)
from agentd.engine.training.trainer import Callback, Diverged, Rounds, Trainer

__all__ = [
    "Callback",
    "DataSpec",
    "Diverged",
    "EpochReport",
    "EpochSums",
    "EvaluationReport",
    "Objective",
    "Rounds",
    "SaveSpec",
    "StopSpec",
    "TrainSpec",
    "Trainer",
    "convert_spec",
    "fit_network",
    "load_spec",
    "make_network",
    "plain_spec",
]
