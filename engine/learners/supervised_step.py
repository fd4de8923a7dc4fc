"""A supervised step, op by op: forward, loss, backward, descent."""

from collections.abc import Callable

from agentd.engine.backend import Array, Backend, Host, Step, in_order
from agentd.engine.learners.descent import Descent
from agentd.engine.network import Pass


def bind_supervised_step(
    backend: Backend, learn: Pass, descent: Descent, rows: int, loss: Step, row_loss: Array | None
) -> Callable[[Host], bool]:
    """Bind a step of ``rows`` rows; it takes their inputs and returns whether it was taken.

    learn     a training pass; ``loss`` reads its output and writes its output gradient
    row_loss  (rows,), written by ``loss``; the step leaves the sum in ``descent.loss``. None
              where ``loss`` writes ``descent.loss`` itself
    """
    params, gradient, write = descent.params, descent.gradient, backend.write
    x, dy = learn.input(params, rows), learn.output_gradient(params, rows)
    if row_loss is not None:
        column = backend.reshape(row_loss, (rows, 1))
        loss = in_order(loss, backend.sum_rows(column, descent.loss))

    def take(inputs: Host) -> bool:
        write(x, inputs.reshape(x.shape))
        learn.forward(params, x)
        loss()
        learn.backward(gradient, dy)
        return descent.step()

    return take
