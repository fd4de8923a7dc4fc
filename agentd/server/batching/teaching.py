"""The rules of R8: taught rows, checked before they are queued for learning."""

import numpy as np

from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Teach
from agentd.protocol.rows import check_finite, check_observation
from agentd.protocol.schema import Schema
from agentd.server.batching.batch import observations


class TaughtRows:
    """Checked rows: obs (N, row_bytes) raw, target i32 (N,) or f32 (N, K), weight f32 (N,)."""

    __slots__ = ("obs", "target", "weight")

    def __init__(self, obs: np.ndarray, target: np.ndarray, weight: np.ndarray) -> None:
        self.obs = obs
        self.target = target
        self.weight = weight


def require_teacher(role: str) -> None:
    """Raise ProtocolError FORBIDDEN unless sessions of a role teach."""
    if role != "train":
        raise ProtocolError(
            Code.FORBIDDEN,
            f"a session of role {role} does not teach",
            field="type",
            expected="role train",
            got=f"role {role}",
        )


def check_teach(schema: Schema, teach: Teach, max_rows: int, supervised: bool, values: bool) -> int:
    """The number of rows of a frame whose byte counts fit; ``values`` = float targets.

    Raises NOT_SUPERVISED, BAD_SHAPE, BAD_TARGET or TOO_MANY_ROWS.
    """
    if not supervised:
        raise ProtocolError(
            Code.NOT_SUPERVISED,
            "this agent does not learn from teach",
            field="type",
            expected="an agent with learner: supervised",
            got="teach",
        )
    width = 4 * (schema.n_actions if values else 1)
    n, left = divmod(len(teach.target), width)
    if left or n == 0:
        form = f"f32[N*{schema.n_actions}]" if values else "i32[N]"
        raise ProtocolError.unfit(
            Code.BAD_TARGET, "target", f"{form}, N >= 1", f"{len(teach.target)} bytes"
        )
    if n > max_rows:
        raise ProtocolError.unfit(Code.TOO_MANY_ROWS, "target", f"at most {max_rows} rows", str(n))
    check_observation(schema, teach.seq, teach.obs, n)
    if teach.weight is not None and len(teach.weight) != 4 * n:
        raise ProtocolError.unfit(
            Code.BAD_SHAPE,
            "weight",
            f"{4 * n} bytes (f32[{n}])",
            f"{len(teach.weight)} bytes",
        )
    return n


def read_teach(schema: Schema, teach: Teach, n: int, values: bool) -> TaughtRows:
    """The rows as arrays. Raises NOT_FINITE or BAD_TARGET naming the row."""
    obs = observations(schema, [teach], n)
    check_finite(schema, obs)
    if values:
        target = np.frombuffer(teach.target, np.float32).reshape(n, schema.n_actions)
        if not np.isfinite(target).all():
            raise ProtocolError.unfit(Code.NOT_FINITE, "target", "finite numbers", "NaN or Inf")
    else:
        target = np.frombuffer(teach.target, np.int32)
        bad = (target < 0) | (target >= schema.n_actions)
        if bad.any():
            at = int(np.argmax(bad))
            want = f"a class in 0..{schema.n_actions - 1} in row {at}"
            raise ProtocolError.unfit(Code.BAD_TARGET, "target", want, str(int(target[at])))
    weight = np.ones(n, np.float32)
    if teach.weight is not None:
        weight = np.frombuffer(teach.weight, np.float32)
        if not np.isfinite(weight).all() or (weight < 0).any():
            raise ProtocolError.unfit(Code.NOT_FINITE, "weight", "finite weights >= 0", "another")
    return TaughtRows(obs, target, weight)
