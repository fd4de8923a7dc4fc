"""How a network does on data that it does not learn from."""

from collections.abc import Iterator
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Backend
from agentd.engine.data import Batches, Dataset, Minibatch, Normalizer
from agentd.engine.network import Network, Pass
from agentd.engine.training.objective import Bound, Objective
from agentd.engine.training.reports import EvaluationReport

EVALUATION_ROWS = 512


class BatchEvaluator:
    """Evaluates parameters on data, in batches of its own."""

    def __init__(
        self, network: Network, backend: Backend, objective: Objective, normalizer: Normalizer
    ) -> None:
        self._backend, self._objective, self._normalizer = backend, objective, normalizer
        self._pass = Pass(network, backend, EVALUATION_ROWS)
        self._bound: dict[int, Bound] = {}

    def outputs(self, params: Any, data: Dataset) -> Iterator[tuple[Minibatch, NDArray[Any]]]:
        """Yield each batch with the network's output (B, K)."""
        batches = Batches(data, EVALUATION_ROWS, self._normalizer, ahead=0)
        for batch in batches.epoch():
            x = self._pass.input(params, len(batch.inputs))
            self._backend.write(x, batch.inputs.reshape(x.shape))
            yield batch, self._backend.to_host(self._pass.forward(params, x))

    def evaluate(self, params: Any, data: Dataset) -> EvaluationReport:
        """Return the mean loss and what else the targets allow over all rows of ``data``."""
        total, squares, rows = 0.0, 0.0, len(data)
        classes = data.classes
        outputs = int(self._pass.net.output_shape[0])
        confusion = np.zeros((outputs, outputs), np.int64) if classes else None
        for batch, y in self.outputs(params, data):
            bound = self._bind(params, len(y))
            self._objective.write(bound, batch.targets)
            bound.run()
            total += float(self._backend.to_host(bound.loss).sum(dtype=np.float64))
            if confusion is None:
                squares += float(np.square(y - batch.targets, dtype=np.float64).mean(1).sum())
            else:
                np.add.at(confusion, (batch.targets, y.argmax(1)), 1)
        if confusion is None:
            return EvaluationReport(rows, total / rows, rmse=sqrt(squares / rows))
        return EvaluationReport(
            rows, total / rows, float(np.trace(confusion)) / rows, None, confusion
        )

    def _bind(self, params: Any, rows: int) -> Bound:
        if rows not in self._bound:
            y = self._pass.output(params, rows)
            self._bound[rows] = self._objective.bind(
                y, self._backend.zeros(y.shape), annealed=False
            )
        return self._bound[rows]
