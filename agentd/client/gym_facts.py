"""What ``info`` tells beside masks: that a person played inside the environment, that it was won.

``info["intervene_action"]`` is the action that was really played in place of the one that was
asked for, as wrappers that let a person take over name it; ``info["is_success"]`` counts with the
last step of an episode. Shape letters: S environments, N rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.client.gym_actions import ActionCoder
from agentd.client.gym_spaces import Misfit
from agentd.client.played import WHO, StepFacts
from agentd.protocol.rows import FIRST, TERMINATED

TAKEN, WON = "intervene_action", "is_success"


def tells_facts(*infos: Mapping[str, Any]) -> bool:
    """Whether there is anything to read."""
    return any(TAKEN in info or WON in info for info in infos)


def split_info(info: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Return what a vector environment's ``info`` tells of environment ``i``."""
    own = {}
    for key in (TAKEN, WON):
        there = info.get(f"_{key}")
        if key in info and (there is None or there[i]):
            found = info[key]
            whole = isinstance(found, Mapping)
            own[key] = {name: part[i] for name, part in found.items()} if whole else found[i]
    return own


def read_facts(
    coder: ActionCoder,
    infos: Sequence[Mapping[str, Any]],
    kind: NDArray[np.uint8],
    actions: NDArray[Any],
) -> StepFacts:
    """Return what ``infos`` of S environments says of the rows of ``kind`` (N,), N >= S.

    ``actions`` are the (S,) or (S, branches) that were asked for; rows after the S-th begin
    episodes, and nothing is said of them. Raises Misfit.
    """
    taken = np.zeros((len(kind), *actions.shape[1:]), coder.shape.dtype)
    taken[: len(infos)] = actions
    taken[: len(infos)][kind[: len(infos)] == FIRST] = 0  # -1 or NaN, and not looked at
    by, won = np.zeros(len(kind), np.uint8), np.zeros(len(kind), np.bool_)
    for i, one in enumerate(infos):
        if TAKEN in one:
            taken[i], by[i] = coder.encode_one(one[TAKEN]), WHO.index("person")
        if kind[i] >= TERMINATED and WON in one:
            won[i] = _truth(one[WON])
    facts: StepFacts = {}
    if by.any():
        facts = {"taken": taken, "by": by}
    if (kind >= TERMINATED).any() and any(WON in one for one in infos):
        facts["success"] = won
    return facts


def _truth(value: Any) -> bool:
    found = np.asarray(value)
    if found.size != 1 or found.dtype.kind not in "biuf":
        raise Misfit(WON, "a truth", repr(value))
    return bool(found.reshape(-1)[0])
