"""Normalisation of data: statistics of the training rows, finite whatever finite rows there are."""

import numpy as np
import pytest

from agentd.engine.data import Dataset, find_normalizer


@pytest.mark.parametrize("how", ["range", "standard"])
def test_the_largest_numbers_of_all_stay_finite(how):
    x = np.array([[3.4e38, 1], [-3.4e38, 2], [3.4e38, 4]], np.float32)
    data = Dataset.from_arrays(x, np.array([0, 1, 0]))
    out = np.empty_like(x)

    find_normalizer(data, how).apply(x, out)

    assert np.isfinite(out).all()
    assert np.ptp(out[:, 0]) > 0.9
