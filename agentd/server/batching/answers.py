"""A batch's choices as frames, and the counters of what was answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentd.assembly.actions import ActionCodec
from agentd.engine.doubt import novelty
from agentd.latency import Histogram, Sizes
from agentd.memory.played import EXPLORED
from agentd.protocol.codec import encode
from agentd.protocol.messages import ActReply
from agentd.protocol.pattern import encode_acts
from agentd.server.batching.actor import Choice
from agentd.server.batching.batch import Batch
from agentd.server.batching.session import Frame

_WHOLE = ("frames", "rows", "refused_frames", "overdue_frames", "passes")


@dataclass(slots=True)
class Counters:
    """What the agent has done since the daemon started."""

    frames: int = 0
    rows: int = 0
    refused_frames: int = 0
    overdue_frames: int = 0  # answered with older weights than paced learning wants, for a deadline
    passes: int = 0
    latency: Histogram = field(default_factory=Histogram)  # seconds
    batch: Sizes = field(default_factory=Sizes)  # rows of one pass

    def count(self, frames: list[Frame], rows: int, now: float) -> None:
        """Count frames of so many rows that were answered by one pass at ``now``."""
        for frame in frames:
            self.latency.add(now - frame.arrived)
        self.frames += len(frames)
        self.rows += rows
        self.passes += 1
        self.batch.add(rows)

    def share(self) -> dict[str, Any]:
        """The counters as plain values, for another process."""
        whole = {name: getattr(self, name) for name in _WHOLE}
        return whole | {"latency": self.latency.share(), "batch": self.batch.share()}

    def add(self, share: Mapping[str, Any]) -> None:
        """Add what ``share`` returned elsewhere."""
        for name in _WHOLE:
            setattr(self, name, getattr(self, name) + share[name])
        self.latency.add_share(share["latency"])
        self.batch.add_share(share["batch"])

    def stats(self) -> dict[str, Any]:
        """The counters by the names that `stats` has for them."""
        return {
            "frames": self.frames,
            "rows": self.rows,
            "refused_frames": self.refused_frames,
            "overdue_frames": self.overdue_frames,
            "rows_per_wave": self.rows / self.passes if self.passes else 0.0,
            "batch_p50": self.batch.quantile(0.5),
            "batch_p99": self.batch.quantile(0.99),
            "act_p50_ms": 1e3 * self.latency.quantile(0.5),
            "act_p99_ms": 1e3 * self.latency.quantile(0.99),
            "act_p999_ms": 1e3 * self.latency.quantile(0.999),
        }


def encode_answers(batch: Batch, choice: Choice, codec: ActionCodec | None) -> list[bytes]:
    """The ``act`` frames of a batch, in the order of its frames."""
    frames, rows = batch.frames, batch.frames[0].rows
    actions = choice.action if codec is None else codec.encode(choice.action)
    if all(f.rows == rows and not f.session.explain and not f.late for f in frames):
        return encode_acts([frame.seq for frame in frames], actions.tobytes(), choice.version)
    out, start = [], 0
    for frame, end in zip(frames, batch.ends, strict=True):
        q = explored = new = None
        two = frame.session.version > 1
        if frame.session.explain:
            q = memoryview(choice.q[start:end].tobytes())
            explored = memoryview((choice.explored[start:end] & EXPLORED).tobytes())
            if two and choice.evidence is not None:
                new = memoryview(novelty(choice.q[start:end], choice.evidence).tobytes())
        action = memoryview(actions[start:end].tobytes())
        act = ActReply(
            seq=frame.seq,
            action=action,
            version=choice.version,
            q=q,
            explored=explored,
            late=frame.late and two,
            novelty=new,
        )
        out.append(encode(act))
        start = end
    return out
