"""Whether an agent's model remembers, and what an agent of such a model cannot have."""

from collections.abc import Sequence

from agentd.engine.layers import Flatten, Gru, LayerSpec, Lstm, Reshape, Residual, Rnn, Sequential
from agentd.engine.layers.layer import tag_of
from agentd.engine.learners.dqn_config import DqnConfig


def remembering(layers: Sequence[LayerSpec]) -> str:
    """Return the name of the first layer that carries a state from row to row, "" for none.

    A recurrent layer does, unless it reads the sequence that a `reshape` before it makes. Behind
    one that gives the sequence's last output alone, or behind `flatten`, there are rows again.
    """
    on_rows = True
    for layer in layers:
        if isinstance(layer, Reshape | Flatten):
            on_rows = isinstance(layer, Flatten) or len(layer.shape) != 2
        elif isinstance(layer, Gru | Lstm | Rnn):
            if on_rows:
                return tag_of(layer)
            on_rows = not layer.sequence
        elif on_rows and isinstance(layer, Residual | Sequential):
            inside = remembering(layer.layers)
            if inside:
                return inside
    return ""


def check_recurrent(
    layers: Sequence[LayerSpec], learner: str, dqn: DqnConfig, exploration: str, capacity: int
) -> None:
    """Raise ValueError, naming both, for a model that remembers and what cannot go with it."""
    layer = remembering(layers)
    if not layer:
        return
    said = f"model.layers: `{layer}` remembers from row to row"
    if learner not in ("dqn", "none"):
        raise ValueError(
            f"{said}, and learner {learner} has no sequences: expected learner dqn; or "
            "put `reshape` before it, so that it reads one row as a sequence"
        )
    rows = dqn.sequences.rows(dqn.n_step)
    if learner == "dqn" and rows >= capacity:
        raise ValueError(
            f"dqn.sequences.burn_in ({dqn.sequences.burn_in}), dqn.sequences.length "
            f"({dqn.sequences.length}) and dqn.n_step ({dqn.n_step}) are a sequence of {rows} "
            f"rows: more than replay.capacity ({capacity}) holds"
        )
    if dqn.distribution == "implicit":
        raise ValueError(f"{said}: no dqn.distribution implicit with it")
    if learner == "dqn" and dqn.search is not None:
        raise ValueError(f"{said}: no dqn.search with it, since a searched position is one row")
    noise = {"dqn.noisy": dqn.noisy, "exploration.kind noisy": exploration == "noisy"}
    for name in (name for name, on in noise.items() if on):
        raise ValueError(f"{said}: no {name} with it, since the noise of a row would be remembered")
