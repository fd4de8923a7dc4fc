"""What a learner knows, in a learner whose rows have other tensors or actions.

Shapes: D inputs of the network, K rows of a stack, L last actions, A actions over all branches.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Host
from agentd.engine.learners.descent import ONLINE
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.network.growth import CannotGrow, GrownNetwork, Growth
from agentd.engine.replay.rows import RowFormat, TensorFormat

_Places = NDArray[np.int64]
STAYS = ("updates", "skipped", "optimizer", "demonstrations", "observed", "returns")
"""What of a learner's scalars is no matter of the rows that it saw."""
_INSIDE = ("inputs", "rewards")
REMEMBERED = 1_000
"""So many rows of before count in the statistics of inputs of which some are new."""


class _Layout(NamedTuple):
    """Where each tensor of each row of an input stands, and each action played before it."""

    rows: list[dict[str, _Places]]
    played: list[_Places]  # one (A, planes) for each of L


def growth_of(old: RowFormat, new: RowFormat, atoms: int = 1) -> Growth:
    """Return where the inputs and actions of ``new`` stand in ``old``.

    Tensors are the same by name; one of at most one dimension may become longer or shorter, and
    keeps its first numbers. Actions are the same by number. Raises CannotGrow.
    """
    before, after = _layout(old), _layout(new)
    known = {tensor.name: tensor for tensor in old.tensors}
    inputs = np.full(new.features, -1, np.int64)
    for tensor in new.tensors:
        if tensor.name in known:
            count = _shared(known[tensor.name], tensor)
            for row, grown in zip(before.rows, after.rows, strict=True):
                inputs[grown[tensor.name][:count]] = row[tensor.name][:count]
    kept = _kept_actions(old.branches, new.branches)
    for was, now in zip(before.played, after.played, strict=True):
        if was.shape[1] != now.shape[1]:
            raise CannotGrow("the last actions are planes of an image, and would be none")
        there = kept >= 0
        inputs[now[there]] = was[kept[there]]
    return Growth(inputs, old.features, old.branches, new.branches, atoms)


def grow_state(
    known: tuple[Mapping[str, Host], Mapping[str, Any]],
    fresh: tuple[Arrays, Scalars],
    grown: GrownNetwork,
) -> tuple[Arrays, Scalars]:
    """Return a learner's state, arrays and scalars, that goes on from what another one knows.

    ``fresh`` is the state in which it would begin: what depends on the rows of a ring stays so.
    """
    arrays, scalars = {**fresh[0]}, _kept_scalars(known[1], fresh[1])
    for name, array in known[0].items():
        if name in ("params", "target", ONLINE):
            arrays[name] = grown.params(array)
        elif name.startswith("optimizer."):
            arrays[name] = grown.moments(array)
        elif name == "reward.moments":
            arrays[name] = array
        elif name == "input.moments":
            place = scalars.get("inputs", scalars)
            moments = _grown_moments(array, int(place["observed"]), grown.growth)
            arrays[name], place["observed"] = moments
    if ONLINE in fresh[0] and ONLINE not in known[0]:
        arrays[ONLINE] = arrays["params"]
    return arrays, scalars


def _layout(format: RowFormat) -> _Layout:
    """Number the inputs of a network as `RowFormat` arranges them."""
    channels = format.input_shape[-1] if len(format.input_shape) > 1 else format.features
    at, places = 0, np.arange(format.features).reshape(-1, channels)
    rows: list[dict[str, _Places]] = []
    for _ in range(format.stack):
        rows.append({})
        for tensor in format.tensors:
            width = tensor.features // len(places)
            rows[-1][tensor.name] = places[:, at : at + width].reshape(-1)
            at += width
    ends = range(at, channels, format.n_actions)
    return _Layout(rows, [places[:, end : end + format.n_actions].T for end in ends])


def _shared(old: TensorFormat, new: TensorFormat) -> int:
    """How many numbers two tensors of one name share. Raises CannotGrow."""
    if old.shape != new.shape and max(len(old.shape), len(new.shape)) > 1:
        raise CannotGrow(
            f"observation {new.name}: its shape was {list(old.shape)} and is {list(new.shape)}: "
            "give it another name to have it begin anew"
        )
    return min(old.features, new.features)


def _kept_actions(before: tuple[int, ...], after: tuple[int, ...]) -> _Places:
    """The old number, over all branches, of each new action; -1 of a new one."""
    ends, parts = np.cumsum(before), []
    for b, n in enumerate(after):
        known = before[b] if b < len(before) else 0
        number = np.arange(n)
        start = int(ends[b]) - known if known else 0
        parts.append(np.where(number < known, start + number, -1))
    return np.concatenate(parts)


def _kept_scalars(known: Mapping[str, Any], fresh: Scalars) -> Scalars:
    found = {**fresh, **{name: known[name] for name in STAYS if name in known}}
    for group in _INSIDE:
        if group in known and group in fresh:
            found[group] = _kept_scalars(known[group], fresh[group])
    return found


def _grown_moments(
    moments: NDArray[Any], count: int, growth: Growth
) -> tuple[NDArray[np.float64], int]:
    """Return running moments (2, D_new) and their count; a new input has mean 0, variance 1.

    It learns its own within a thousand rows or so: so few of the old ones count from now on.
    """
    if growth.keeps_inputs:
        return moments, count
    few = min(count, REMEMBERED)
    found = np.zeros((2, len(growth.inputs)))
    found[1] = few
    kept = np.flatnonzero(growth.inputs >= 0)
    found[0, kept] = moments[0, growth.inputs[kept]]
    found[1, kept] = moments[1, growth.inputs[kept]] * (few / max(1, count))
    return found, few
