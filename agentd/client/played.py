"""What a game may say besides its rows: what was really played (R15), facts (R16), time (R18).

Shape letters: N rows of a frame. Everything here needs protocol 2, and costs nothing where unused.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, TypedDict

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentd.protocol.codec import HEADER
from agentd.protocol.messages import Step
from agentd.protocol.rows import TERMINATED, TRUNCATED
from agentd.protocol.schema import Schema

WHO = ("agent", "person", "script")
"""Who chose an action, in the order of their numbers on the wire."""

NOTHING: Mapping[str, float] = {}
MAX_FACTS = 32
_steps = msgspec.msgpack.Decoder(Step)
_NAME = re.compile(r"[a-z0-9_./-]{1,64}")


class StepFacts(TypedDict, total=False):
    """Keyword arguments of ``step`` and ``send`` that need protocol 2; None counts as left out."""

    taken: ArrayLike | None
    """Actions that were really played and led to these rows, as ``Act.actions`` has them: (N,) or
    (N, branches or heads); one action where there is one row. Of kind first none is looked at."""
    by: ArrayLike | None
    """Who chose ``taken``: "agent" (the default), "person" or "script"; (N,), or one for all."""
    elapsed: ArrayLike | None
    """Nominal steps (``dt_ms``) that led to these rows, over 0; (N,), or one for all; else 1."""
    success: ArrayLike | None
    """Whether an episode that ended was won: truths (N,), or one for all."""


def pack_facts(schema: Schema, n: int, facts: StepFacts) -> dict[str, memoryview]:
    """Return what was given for ``n`` rows as the fields of a step.

    Raises ValueError or TypeError, naming the argument.
    """
    if unknown := facts.keys() - StepFacts.__annotations__.keys():
        known = ", ".join(StepFacts.__annotations__)
        raise TypeError(f"{min(unknown)}: no argument of a step; want {known}")
    fields: dict[str, memoryview] = {}
    if (taken := facts.get("taken")) is not None:
        fields["taken"] = _actions(taken, n, schema).data
    if (by := facts.get("by")) is not None:
        if "taken" not in fields:
            raise ValueError("by: says who chose `taken`, and there is none")
        fields["by"] = _fill("by", _chosen_by(by), n).data
    if (elapsed := facts.get("elapsed")) is not None:
        fields["elapsed"] = _fill("elapsed", np.asarray(elapsed, np.float32), n).data
    if (success := facts.get("success")) is not None:
        won = np.asarray(success)
        if won.dtype.kind not in "biu" or not ((won == 0) | (won == 1)).all():
            raise ValueError(f"success: want truths, got {success!r}")
        fields["success"] = _fill("success", won.astype(np.uint8), n).data
    return fields


def read_log(values: Mapping[str, float]) -> dict[str, float]:
    """Return ``values`` as a ``log`` carries them. Raises ValueError, naming the value (R16)."""
    if len(values) > MAX_FACTS:
        raise ValueError(f"log: want at most {MAX_FACTS} values, got {len(values)}")
    return {_checked_name(name): _finite_number(name, value) for name, value in values.items()}


def rows_to_cut(
    schema: Schema, frame: bytes, stream: ArrayLike | None, reward: float
) -> dict[str, Any]:
    """Return the fields of a step that ends episodes at their row in ``frame``, a sent step.

    All that are open in it, or those of ``stream``. Raises ValueError for one that is not.
    """
    step = _steps.decode(memoryview(frame)[HEADER.size :])
    kinds = np.frombuffer(step.kind, np.uint8)
    ids = np.frombuffer(step.stream, np.uint32).tolist()
    open_at = {ids[row]: row for row in np.flatnonzero(kinds < TERMINATED).tolist()}
    named = list(open_at) if stream is None else np.atleast_1d(stream).tolist()
    if closed := [one for one in named if one not in open_at]:
        raise ValueError(
            f"stream: {closed[0]} had no open row in the last step that was sent; "
            "send its last state with kind truncated"
        )
    rows, n = [open_at[one] for one in named], len(named)
    return {
        "obs": {
            t.name: np.frombuffer(step.obs[t.name], np.uint8).reshape(-1, t.nbytes)[rows].tobytes()
            for t in schema.tensors
        },
        "reward": np.full(n, reward, np.float32).tobytes(),
        "kind": np.full(n, TRUNCATED, np.uint8).tobytes(),
        "stream": np.array(named, np.uint32).tobytes(),
    }


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"log: want names of 1 to 64 of a-z 0-9 _ . / -, got {name!r}")
    return name


def _finite_number(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"log: {name}: want a finite number, got {value!r}")
    return number


def _actions(taken: ArrayLike, n: int, schema: Schema) -> NDArray[Any]:
    """Return ``taken`` as ``Act.actions`` has it: (n,), or (n, branches or heads)."""
    given = np.asarray(taken)
    if given.dtype.kind not in ("iuf" if schema.heads else "iu"):
        raise TypeError(f"taken: want action numbers, got {given.dtype}")
    shape = (n,) if schema.kind == "discrete" else (n, schema.action_width)
    if given.shape != shape and not (n == 1 and given.shape == shape[1:]):
        raise ValueError(f"taken: want shape {shape}, got {given.shape}")
    actions = np.ascontiguousarray(given, schema.action_dtype).reshape(shape)
    if not schema.heads and (actions != given).any():
        raise ValueError(f"taken: want action numbers, got {given.max()}")
    return actions


def _chosen_by(by: ArrayLike) -> NDArray[np.uint8]:
    given = np.asarray(by)
    words = given.reshape(-1).tolist()
    if given.dtype.kind == "U" and set(words) <= set(WHO):
        return np.array([WHO.index(word) for word in words], np.uint8).reshape(given.shape)
    if given.dtype.kind in "iu" and set(words) <= set(range(len(WHO))):
        return given.astype(np.uint8)
    raise ValueError(f"by: want {', '.join(WHO)}, got {by!r}")


def _fill(name: str, given: NDArray[Any], n: int) -> NDArray[Any]:
    """Return one value a row, whether one a row or one for all rows was given."""
    if given.ndim == 0:
        return np.full(n, given)
    if given.shape != (n,):
        raise ValueError(f"{name}: want {n} values, one a row, got shape {given.shape}")
    return np.ascontiguousarray(given)
