"""Data: from files to shuffled, normalised batches that are ready before they are asked for."""

from agentd.engine.data.batches import Batches, Minibatch, split
from agentd.engine.data.dataset import Block, Columns, Dataset, Reader, Target, collect
from agentd.engine.data.errors import DataError
from agentd.engine.data.files import (
    DataOptions,
    load_data,
    load_inputs,
    open_data,
    parts_of,
    write_data,
)
from agentd.engine.data.normalize import Normalize, Normalizer, find_normalizer, no_normalizer
from agentd.engine.data.prefetch import Prefetch

__all__ = [
    "Batches",
    "Block",
    "Columns",
    "DataError",
    "DataOptions",
    "Dataset",
    "Minibatch",
    "Normalize",
    "Normalizer",
    "Prefetch",
    "Reader",
    "Target",
    "collect",
    "find_normalizer",
    "load_data",
    "load_inputs",
    "no_normalizer",
    "open_data",
    "parts_of",
    "split",
    "write_data",
]
