"""Eight bits for trained networks: whole numbers for the weights, and products of whole numbers."""

from agentd.engine.quantization.calibration import QuantizedWeights, quantize
from agentd.engine.quantization.rounding import STEPS, Int8Matrix, round_columns

__all__ = ["STEPS", "Int8Matrix", "QuantizedWeights", "quantize", "round_columns"]
