"""What a classifier's answer is worth: novelty, calibrated probabilities, sets that hold the class.

Three numbers with three promises. Novelty ranks: rows unlike the training rows get a higher number
(`answers`). A temperature makes probabilities that are right on average (`calibration`). A set of
classes holds the right one in a share of rows that was asked for (`conformal`). `ranking` measures
all three. Shapes: N rows, K classes.
"""

from agentd.engine.doubt.answers import ClassAnswers, answer, novelty
from agentd.engine.doubt.calibration import calibration_error, find_temperature, soften
from agentd.engine.doubt.conformal import TooFewRows, prediction_sets, set_threshold
from agentd.engine.doubt.ranking import accuracy_kept, auroc

__all__ = [
    "ClassAnswers",
    "TooFewRows",
    "accuracy_kept",
    "answer",
    "auroc",
    "calibration_error",
    "find_temperature",
    "novelty",
    "prediction_sets",
    "set_threshold",
    "soften",
]
