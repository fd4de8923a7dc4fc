"""Value distributions; ``engine.rules.td`` says what each of these ops must equal."""

import numpy as np

from agentd.engine.backend import Step
from agentd.engine.backend.checks import check_action, distribution_sizes
from agentd.engine.numpy_backend.losses import LossOps
from agentd.engine.numpy_backend.memory import Nd
from agentd.engine.numpy_backend.td import TdOps, ranges


class DistributionOps(LossOps, TdOps):
    """``y`` (B, Z, A): the Z numbers of an action's distribution lie A apart."""

    def categorical_values(self, y: Nd, low: float, high: float, q: Nd) -> Step:
        batch, z, width = distribution_sizes("categorical_values", y, q)
        p, row = self.empty((batch, width, z)), self.empty((batch, width, 1))
        total, atoms = row.reshape(batch, width), self._atoms(low, high, z)
        by_action = y.transpose(0, 2, 1)  # sums run along what lies together

        def step() -> None:
            np.copyto(p, by_action)
            np.maximum.reduce(p, 2, None, row, keepdims=True)
            np.subtract(p, row, p)
            np.exp(p, p)
            np.add.reduce(p, 2, None, row, keepdims=True)
            np.matmul(p, atoms, q)
            np.divide(q, total, q)

        return step

    def quantile_values(self, y: Nd, q: Nd) -> Step:
        _, z, _ = distribution_sizes("quantile_values", y, q)
        share = self.scalar(1 / z)

        def step() -> None:
            np.add.reduce(y, 1, None, q)
            np.multiply(q, share, q)

        return step

    def categorical_values_backward(
        self, y: Nd, low: float, high: float, q: Nd, dq: Nd, dy: Nd
    ) -> Step:
        _, z, _ = distribution_sizes("categorical_values_backward", y, q)
        p, atoms = self.empty(y.shape), self._atoms(low, high, z)[:, None]

        def step() -> None:
            np.subtract(y, np.maximum.reduce(y, 1, keepdims=True), p)
            np.exp(p, p)
            np.divide(p, np.add.reduce(p, 1, keepdims=True), p)
            np.multiply(p, atoms - q[:, None, :], p)
            np.multiply(p, dq[:, None, :], p)
            np.add(dy, p, dy)

        return step

    def quantile_values_backward(self, dq: Nd, dy: Nd) -> Step:
        _, z, _ = distribution_sizes("quantile_values_backward", dy, dq)
        share = self.scalar(1 / z)

        def step() -> None:
            np.add(dy, (dq * share)[:, None, :], dy)

        return step

    def categorical_target(
        self,
        value: Nd,
        select: Nd,
        mask: Nd | None,
        branches: tuple[int, ...],
        low: float,
        high: float,
        reward: Nd,
        discount: Nd,
        target: Nd,
    ) -> Step:
        batch, z, _ = distribution_sizes("categorical_target", value, select)
        best = np.empty((batch, len(branches)), np.int32)
        taken = self.empty((len(branches) * batch, z))
        p, atoms, row = self.empty((batch, z)), self.empty((batch, z)), self.empty((len(taken), 1))
        choose = self._choose(select, mask, branches, best)
        take = self.take_action(value, best, branches, taken)
        move = self.categorical_projection(p, atoms, low, high, target)
        grid, share = self._atoms(low, high, z), self.scalar(1 / len(branches))
        by_branch = taken.reshape(len(branches), batch, z)
        r, d = reward.reshape(-1, 1), discount.reshape(-1, 1)

        def step() -> None:
            choose()
            take()
            np.maximum.reduce(taken, 1, None, row, keepdims=True)
            np.subtract(taken, row, taken)
            np.exp(taken, taken)
            np.add.reduce(taken, 1, None, row, keepdims=True)
            np.divide(taken, row, taken)
            np.add.reduce(by_branch, 0, None, p)
            np.multiply(p, share, p)
            np.multiply(d, grid, atoms)
            np.add(atoms, r, atoms)
            move()

        return step

    def quantile_target(
        self,
        value: Nd,
        select: Nd,
        mask: Nd | None,
        branches: tuple[int, ...],
        reward: Nd,
        discount: Nd,
        target: Nd,
    ) -> Step:
        batch, z, _ = distribution_sizes("quantile_target", value, select)
        best, n = np.empty((batch, len(branches)), np.int32), len(branches)
        taken = self.empty((n * batch, z))
        choose = self._choose(select, mask, branches, best)
        take = self.take_action(value, best, branches, taken)
        by_row = taken.reshape(n, batch, z).transpose(1, 0, 2)
        out, r, d = target.reshape(batch, n, z), reward[:, None, None], discount[:, None, None]

        def step() -> None:
            choose()
            take()
            np.multiply(by_row, d, out)
            np.add(out, r, out)

        return step

    def take_action(self, y: Nd, action: Nd, branches: tuple[int, ...], out: Nd) -> Step:
        find, at = self._places(y, action, branches)
        flat = y.reshape(-1)

        def step() -> None:
            find()
            flat.take(at, out=out, mode="clip")

        return step

    def put_action(self, d: Nd, action: Nd, branches: tuple[int, ...], dy: Nd) -> Step:
        find, at = self._places(dy, action, branches)
        flat, share = dy.reshape(-1), self.scalar(1 / len(branches))
        alone = len(branches) == 1

        def step() -> None:
            find()
            dy.fill(0)
            flat[at] = d if alone else d * share

        return step

    def mean_loss(self, loss: Nd, weight: Nd | None, out: Nd) -> Step:
        share = self.scalar(1 / loss.size)
        if weight is None:

            def mean() -> None:
                out[0] = np.add.reduce(loss) * share

            return mean
        by_branch = loss.reshape(-1, len(weight))

        def step() -> None:
            out[0] = np.add.reduce(by_branch.dot(weight)) * share

        return step

    def _atoms(self, low: float, high: float, z: int) -> Nd:
        return self.asarray(np.linspace(low, high, z).astype(self.dtype))

    def _choose(self, select: Nd, mask: Nd | None, branches: tuple[int, ...], best: Nd) -> Step:
        """Bind best (B, N) = the number of each branch's largest legal ``select``."""
        legal, hide = self._legal(select, mask)
        parts = [legal[:, at : at + n] for at, n in ranges(branches)]

        def step() -> None:
            hide()
            for i, part in enumerate(parts):
                best[:, i] = part.argmax(1)

        return step

    def _places(self, y: Nd, action: Nd, branches: tuple[int, ...]) -> tuple[Step, Nd]:
        """Bind finding the flat indices (N B, Z) of the actions' distributions; return them too."""
        check_action(y, action, branches)
        batch, z, width = y.shape
        starts = np.array([at for at, _ in ranges(branches)])
        most = np.array(branches) - 1
        row = np.arange(batch)[None, :, None] * (z * width) + np.arange(z) * width
        at, column = np.empty((len(branches), batch, z), np.intp), np.empty(action.shape, np.intp)

        def find() -> None:
            np.minimum(action, most, out=column)
            np.maximum(column, 0, out=column)
            np.add(column, starts, column)
            np.add(row, column.T[:, :, None], at)

        return find, at.reshape(-1, z)
