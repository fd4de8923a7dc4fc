"""Product errors: one tree, each with the exit code and the hint that a person needs.

    AgentdError                 70  our own fault unless a subclass says otherwise
    ├── JobFailed                1  the job ran and did not reach its goal
    ├── UsageError               2  the command line asks for something impossible
    ├── MissingInput            66  a file, preset, game or checkpoint is not there
    ├── Unavailable             69  an address cannot be bound or reached
    ├── Locked                  73  another daemon owns the data directory
    ├── StorageError            74  a file could not be read or written
    │   └── DamagedFile         74  a file does not hold what was written there
    └── TrainingDiverged        70  loss or gradients were not finite

Errors of the pure rooms keep their own types (a bad config is ``engine.strictyaml.ConfigError``,
a bad message ``agentd.protocol.errors.ProtocolError``); ``agentd.cli.boundary`` gives those their
exit codes. Nothing else in the project turns an error into an exit.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """How the process ended. Numbers from 64 on follow BSD's sysexits.h; 130 is 128 + SIGINT."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BAD_DATA = 65
    MISSING = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    LOCKED = 73
    STORAGE = 74
    PROTOCOL = 76
    AUTH = 77
    CONFIG = 78
    INTERRUPTED = 130


class AgentdError(Exception):
    """A fault that can be told in one line, with a hint on what to do about it."""

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class JobFailed(AgentdError):
    """The job ran to its end and missed its goal, or something it runs came to a bad end."""

    exit_code = ExitCode.FAILED


class UsageError(AgentdError):
    """The arguments contradict each other or ask for what is not there."""

    exit_code = ExitCode.USAGE


class MissingInput(AgentdError):
    """A file, preset, game or checkpoint that the command needs does not exist."""

    exit_code = ExitCode.MISSING


class Unavailable(AgentdError):
    """An address cannot be bound, or no server answers there."""

    exit_code = ExitCode.UNAVAILABLE


class Locked(AgentdError):
    """Another process owns the data directory."""

    exit_code = ExitCode.LOCKED


class StorageError(AgentdError):
    """A file of the data directory could not be read or written."""

    exit_code = ExitCode.STORAGE


class DamagedFile(StorageError):
    """A file of the data directory does not hold what agentd wrote there."""


class TrainingDiverged(AgentdError):
    """Loss or gradients were not finite; what was saved is untouched. Exit 70."""
