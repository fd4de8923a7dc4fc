"""What a hello says of its game, and whether the hello itself keeps R4 and R14.

Letters: N rows of a frame, A mask bytes of a row, H numbers of an action.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agentd.conformance.findings import Findings
from agentd.protocol import messages as m
from agentd.protocol.actions import ActionSpace, Bounds, Branches, read_action
from agentd.protocol.errors import ProtocolError
from agentd.protocol.facts import MAX_DT_MS
from agentd.protocol.schema import Schema, TensorLayout

MAX_STREAMS = 1 << 20
ROLES = ("train", "eval", "play", "admin")
_AGENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NO_ACTIONS = {"kind": "discrete", "n": 1}


@dataclass(frozen=True)
class GameShape:
    """Tensors and actions of a game, in a version of the protocol."""

    tensors: tuple[TensorLayout, ...]
    space: ActionSpace
    streams: int

    @property
    def kind(self) -> str:
        """Kind of the actions."""
        return self.space.kind

    @cached_property
    def heads(self) -> tuple[int | Bounds, ...]:
        """The numbers of an action, H: how many there are to choose from, or the bounds."""
        return self.space.n if isinstance(self.space, Branches) else self.space.heads

    @cached_property
    def branches(self) -> tuple[int, ...]:
        """The heads that have masks."""
        return tuple(head for head in self.heads if isinstance(head, int))

    @property
    def width(self) -> int:
        """Mask bytes of a row, A."""
        return sum(self.branches)

    @property
    def action_dtype(self) -> str:
        """How the numbers of an action are packed."""
        return "<i4" if isinstance(self.space, Branches) else "<f4"


def check_hello(hello: m.Hello, findings: Findings) -> GameShape | None:
    """Hold a hello against the rules; what its game looks like, None where that cannot be known."""
    _check_fields(hello, findings)
    low, high = hello.protocol
    findings.check(
        "R4 protocol range", 1 <= low <= high, "[low, high], low <= high", f"{[*hello.protocol]}"
    )
    findings.check(
        "R4 run",
        len(hello.run) == 16 and len(set(hello.run)) > 1,
        "16 random bytes",
        f"{len(hello.run)} bytes, {hello.run[:16].hex(' ')}",
    )
    if hello.role == "admin":
        return None
    for name in ("dt_ms", "level"):
        if low == 1 and high > 1 and getattr(hello, name) is not None:
            wish = f"[2, 2] in a hello with {name}, or no {name}"
            findings.fail("R4 protocol range", wish, f"{[low, high]}")
    return _read_shape(hello, findings)


def _check_fields(hello: m.Hello, findings: Findings) -> None:
    agent, admin = hello.agent, hello.role == "admin"
    for right, expected, got in (
        (1 <= len(hello.client) <= 128, "client: 1..128 characters", f"{len(hello.client)}"),
        (hello.role in ROLES, f"role: {' | '.join(ROLES)}", repr(hello.role)),
        (admin or _AGENT.fullmatch(agent), f"agent: {_AGENT.pattern}", repr(agent)),
        (admin or 1 <= hello.streams <= MAX_STREAMS, "streams: at least 1", f"{hello.streams}"),
        (
            hello.deadline_ms is None or 1 <= hello.deadline_ms <= 60_000,
            "deadline_ms: 1..60000",
            f"{hello.deadline_ms}",
        ),
        (
            hello.dt_ms is None or 0 < hello.dt_ms <= MAX_DT_MS,
            f"dt_ms: above 0, at most {MAX_DT_MS:g}",
            f"{hello.dt_ms}",
        ),
        (
            hello.level is None or (0 <= hello.level <= m.MAX_LEVEL and hello.role in m.LEVELLED),
            f"level: 0..{m.MAX_LEVEL:g}, role {' | '.join(m.LEVELLED)}",
            f"{hello.level}, role {hello.role}",
        ),
        (
            hello.resume is None or len(hello.resume) == 16,
            "resume: the 16 bytes of welcome.session",
            f"{len(hello.resume or b'')} bytes",
        ),
    ):
        findings.check("R4 hello", bool(right), expected, got)


def _read_shape(hello: m.Hello, findings: Findings) -> GameShape | None:
    low, high = hello.protocol
    try:
        tensors = Schema.from_wire(hello.observation, _NO_ACTIONS).tensors
        space = read_action(hello.action, max(1, min(high, 2)))
    except ProtocolError as fault:
        findings.fail("R4 schema", f"{fault.field}: {fault.expected}", str(fault.got))
        return None
    findings.keep("R4 schema")
    if low == 1 and space.kind in ("box", "mixed"):
        wish = f"[2, 2] in a hello with actions of kind {space.kind}"
        findings.fail("R4 protocol range", wish, f"{[low, high]}")
    return GameShape(tensors, space, hello.streams)


def looks_swapped(data: bytes | memoryview, dtype: np.dtype) -> bool | None:
    """Whether numbers make sense only with their bytes in the other order; None: nothing to see."""
    if dtype.itemsize == 1 or len(data) % dtype.itemsize:
        return None
    swapped = np.frombuffer(data, dtype.newbyteorder(">"))
    plain = np.frombuffer(data, dtype.newbyteorder("<"))
    some = plain != 0  # NaN is not 0 either
    if not some.any() or (dtype.kind == "i" and len(np.unique(plain[some])) < 2):
        return None
    return not _plausible(plain[some]).any() and bool(_plausible(swapped[some]).all())


def _plausible(numbers: np.ndarray) -> np.ndarray:
    if numbers.dtype.kind == "i":
        return np.abs(numbers.astype(np.int64)) < 1 << 16
    low, high = (1e-4, 1e5) if numbers.dtype.itemsize == 2 else (1e-12, 1e12)
    size = np.abs(numbers.astype(np.float64))
    return (size > low) & (size < high)
