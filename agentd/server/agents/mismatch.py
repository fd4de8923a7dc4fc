"""A hello whose schema is not the agent's: the refusal says what an operator can do (R20)."""

import itertools
from collections.abc import Callable

from agentd.config import AgentConfig
from agentd.engine.errors import EngineError
from agentd.learner.inherit import AgentShape, grown_network
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema, TensorLayout

MOST_NAME = 64
"""Characters of an agent's name."""


def require_same(
    name: str, known: Schema, shown: Schema, config: AgentConfig, taken: Callable[[str], bool]
) -> None:
    """Raise SCHEMA_MISMATCH, with advice, where a hello ``shown`` is not of the agent's schema.

    ``taken`` says whether there is an agent of a name.
    """
    if known == shown:
        return
    to = _free_name(name, taken)
    try:
        require_same_heads(known, shown)
        grown_network(AgentShape(config, known), AgentShape(config, shown))
        advice = f"to keep what it knows: {migrate_command(name, to, known, shown)}; then give"
    except (EngineError, ProtocolError) as fault:
        advice = f"what it knows cannot be carried over ({fault}); give"
    raise ProtocolError(
        Code.SCHEMA_MISMATCH,
        f"agent {name} has the schema {known.describe()}, hello the schema {shown.describe()}; "
        f"{advice} hello the name {to} for `agent`, or delete this agent to begin it anew",
        field="observation" if known.tensors != shown.tensors else "action",
        expected=known.describe(),
        got=shown.describe(),
    )


def require_same_heads(known: Schema, shown: Schema) -> None:
    """Raise ProtocolError UNSUPPORTED_ACTION where numbers of an action would have to change."""
    if known.heads != shown.heads:
        raise ProtocolError.unfit(
            Code.UNSUPPORTED_ACTION,
            "action",
            "the same box or mixture, or numbered actions in place of numbered ones",
            shown.kind,
            said=f"actions of kind {known.kind} cannot become others of kind {shown.kind}",
        )


def migrate_command(name: str, to: str, known: Schema, shown: Schema) -> str:
    """The command that makes an agent ``to`` of the schema ``shown`` out of agent ``name``."""
    words = ["agentd agent migrate", name, to]
    before = {t.name: (t.dtype, t.shape) for t in known.tensors}
    after = {t.name for t in shown.tensors}
    for tensor in shown.tensors:
        if before.get(tensor.name) != (tensor.dtype, tensor.shape):
            words += ["--add", _spelled(tensor)]
    for gone in sorted(before.keys() - after):
        words += ["--drop", gone]
    if (known.kind, known.branches) != (shown.kind, shown.branches) and not shown.heads:
        comma = "," if shown.kind == "multi_discrete" and len(shown.branches) == 1 else ""
        words += ["--actions", ",".join(map(str, shown.branches)) + comma]
    return " ".join(words)


def _spelled(tensor: TensorLayout) -> str:
    shape = "x".join(map(str, tensor.shape))
    return f"{tensor.name}:{tensor.dtype.name}" + (f":{shape}" if shape else "")


def _free_name(name: str, taken: Callable[[str], bool]) -> str:
    names = (f"{name[: MOST_NAME - 4]}-{number}" for number in itertools.count(2))
    return next(each for each in names if not taken(each))
