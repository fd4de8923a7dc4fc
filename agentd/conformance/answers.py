"""What the checking server answers: random legal actions, and open maps with keys of its own."""

import numpy as np

from agentd.conformance.observer import SeenFrame
from agentd.conformance.rows import FrameCheck
from agentd.conformance.shape import GameShape
from agentd.protocol import messages as m
from agentd.protocol.actions import Bounds
from agentd.protocol.rows import TERMINATED

INVENTED = {"invented": {"by": "check-client", "list": [1, 2.5, None, "x"], "on": True}}
"""A key that no client knows."""
CHECKPOINT = "000000000001"


class Answers:
    """Answers for one game."""

    def __init__(self, shape: GameShape | None, explain: bool, rng: np.random.Generator) -> None:
        self._shape, self._explain, self._rng = shape, explain, rng

    def frame(self, frame: SeenFrame, version: int, late: bool = False) -> m.ServerMessage:
        """Return the answer to a frame."""
        if isinstance(frame.message, m.Teach):
            return m.TaughtReply(seq=frame.seq, queued=1, version=version)
        n = len(frame.message.kind)
        more: dict[str, memoryview] = {}
        width = 0 if self._shape is None else self._shape.width
        if self._explain and width:
            q = self._rng.standard_normal(n * width).astype("<f4")
            explored = self._rng.integers(0, 2, n, np.uint8)
            more = {"q": memoryview(q.tobytes()), "explored": memoryview(explored.tobytes())}
        return m.ActReply(
            seq=frame.seq,
            action=memoryview(self._actions(frame.message, frame.check, n)),
            version=version,
            late=late,
            **more,
        )

    def _actions(self, step: m.Step, check: FrameCheck | None, n: int) -> bytes:
        """Random legal actions of N rows; -1, or NaN, on ended ones."""
        if self._shape is None:
            return bytes(4 * n)
        mask = None if check is None else check.mask
        columns, at = [], 0
        for head in self._shape.heads:
            if isinstance(head, Bounds):
                numbers = self._rng.uniform(head.low, head.high, n).astype(np.float32)
                columns.append(np.clip(numbers, np.float32(head.low), np.float32(head.high)))
                continue
            legal = np.ones((n, head)) if mask is None else mask[:, at : at + head].astype(float)
            columns.append((self._rng.random((n, head)) * legal).argmax(axis=1).astype(np.float32))
            at += head
        actions = np.stack(columns, axis=1).astype(self._shape.action_dtype)
        ended = np.frombuffer(step.kind, np.uint8) >= TERMINATED
        actions[ended] = -1 if actions.dtype.kind == "i" else np.nan
        return actions.tobytes()


def reply_to(operation: m.Operation) -> m.ServerMessage:
    """Return the reply to an operation; its open maps hold a key that no client knows."""
    match operation:
        case m.Agents():
            facts = {"agent": "checked", "loaded": True, "sessions": 1, "frozen": False}
            return m.AgentsReply(agents=[facts | INVENTED])
        case m.Info(agent=agent):
            facts = {"config": {}, "schema": {}, "checkpoints": [CHECKPOINT], "frozen": False}
            return m.InfoReply(agent=agent, info=facts | INVENTED)
        case m.Create(agent=agent):
            return m.Created(agent=agent)
        case m.Save(agent=agent):
            return m.Saved(agent=agent, checkpoint=CHECKPOINT, step=1)
        case m.Load(agent=agent, checkpoint=checkpoint):
            return m.Loaded(agent=agent, checkpoint=checkpoint, step=1)
        case m.Unload(agent=agent):
            return m.Unloaded(agent=agent)
        case m.Delete(agent=agent):
            return m.Deleted(agent=agent)
        case m.Freeze(agent=agent, on=on):
            return m.Frozen(agent=agent, on=on)
        case m.Stats(agent=agent):
            one = {"rows": 1, "version": 1, "state": "learning"}
            return m.StatsReply(
                server={"connections": 1} | INVENTED, agents={agent or "checked": one | INVENTED}
            )
    return _reply_to_version_2(operation)


def _reply_to_version_2(operation: m.Operation2) -> m.ServerMessage:
    match operation:
        case m.Settings(agent=agent, values=values):
            return m.GameSettings(agent=agent, values=values)
        case m.Reset(agent=agent):
            return m.WasReset(agent=agent, checkpoint=CHECKPOINT)
        case m.Explore(agent=agent, value=value):
            return m.ExploringReply(
                agent=agent, kind="epsilon", value=0.05 if value is None else value
            )
        case m.Copy(agent=agent, to=to):
            return m.Copied(agent=agent, to=to, step=1)
        case m.Migrate(agent=agent, to=to):
            return m.Migrated(agent=agent, to=to, step=1)
