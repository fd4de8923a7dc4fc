"""A small trained network and its data."""

import numpy as np
import pytest

from agentd.engine.data import Dataset, find_normalizer
from agentd.engine.training import Trainer, fit_network, load_spec

TEXT = "layers: [{dense: 6}, relu]\nbatch: 8\nsave: {keep: 2}\n"


@pytest.fixture
def data() -> Dataset:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 64)
    x = rng.standard_normal((64, 4)) + y[:, None]
    return Dataset.from_arrays(x.astype(np.float32), y)


@pytest.fixture
def spec():
    return load_spec(TEXT)


@pytest.fixture
def make(spec, data):
    def make() -> Trainer:
        return Trainer(
            fit_network(spec, data), batch=8, normalizer=find_normalizer(data, "standard")
        )

    return make
