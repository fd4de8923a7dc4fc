"""Faults of storage and configuration as the errors that a peer is told."""

from collections.abc import Iterator
from contextlib import contextmanager

from agentd.assembly.budget import OverBudget
from agentd.engine.strictyaml import ConfigError
from agentd.errors import AgentdError, DamagedFile, StorageError
from agentd.learner.handle import LearnerRefused
from agentd.protocol.errors import Code, ProtocolError
from agentd.store import NoValidCheckpoint, UnknownCheckpoint


@contextmanager
def as_protocol_errors() -> Iterator[None]:
    """Raise what the block raises as a ProtocolError with the fitting code."""
    try:
        yield
    except ProtocolError:
        raise
    except LearnerRefused as fault:
        code = Code[fault.code]
        field = "checkpoint" if code is Code.UNKNOWN_CHECKPOINT else None
        raise ProtocolError(code, str(fault), field=field, expected=fault.hint) from fault
    except (UnknownCheckpoint, NoValidCheckpoint) as fault:
        raise ProtocolError(
            Code.UNKNOWN_CHECKPOINT,
            str(fault),
            field="checkpoint",
            expected=fault.hint,
        ) from fault
    except DamagedFile as fault:
        raise ProtocolError(Code.INTERNAL, str(fault)) from fault
    except TimeoutError as fault:  # an OSError, and none of the disk's
        raise ProtocolError(Code.INTERNAL, str(fault) or "it took too long") from fault
    except (StorageError, OSError) as fault:
        raise ProtocolError(Code.STORAGE_FAILED, str(fault)) from fault
    except OverBudget as fault:
        raise ProtocolError(
            Code.BAD_CONFIG,
            f"{fault.message}; {fault.hint}",
            field=fault.key,
            expected=fault.expected,
            got=fault.got,
        ) from fault
    except (ConfigError, ValueError) as fault:
        raise ProtocolError(Code.BAD_CONFIG, str(fault)) from fault
    except AgentdError as fault:
        raise ProtocolError(Code.INTERNAL, str(fault) or type(fault).__name__) from fault
