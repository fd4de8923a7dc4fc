"""Eight bits for trained networks: whole numbers for the weights, and products of whole numbers."""

from agentd.engine.quantization.calibration import QuantizedWeights, quantize
from agentd.engine.quantization.int8_backend import Int8Backend
from agentd.engine.quantization.products import InputRange
from agentd.engine.quantization.rounding import Int8Matrix, round_columns

__all__ = [
    "InputRange",
    "Int8Backend",
    "Int8Matrix",
    "QuantizedWeights",
    "quantize",
    "round_columns",
]
