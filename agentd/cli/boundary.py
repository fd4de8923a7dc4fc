"""Where exceptions end: one line with a hint on stderr and an exit code; a traceback with -v."""

import traceback
from collections.abc import Sequence
from typing import Any

from agentd.cli.screen.terminal import Terminal
from agentd.cli.shadows import find_shadow
from agentd.errors import AgentdError, ExitCode

# Errors of rooms that know nothing of exit codes, by room and name, so that nothing loads to look.
EXITS: dict[tuple[str, str], ExitCode] = {
    ("agentd", "AddressError"): ExitCode.UNAVAILABLE,
    ("agentd", "ConfigError"): ExitCode.CONFIG,
    ("agentd", "DataError"): ExitCode.BAD_DATA,
    ("agentd", "ShardsDamaged"): ExitCode.BAD_DATA,
    ("agentd", "TokenFileError"): ExitCode.CONFIG,
    ("agentd", "Unreachable"): ExitCode.UNAVAILABLE,
    ("agentd", "ProtocolError"): ExitCode.PROTOCOL,
    ("builtins", "FileNotFoundError"): ExitCode.MISSING,
    ("builtins", "ConnectionError"): ExitCode.UNAVAILABLE,
    ("builtins", "TimeoutError"): ExitCode.UNAVAILABLE,
    ("builtins", "OSError"): ExitCode.STORAGE,
}
# What a server's refusal means for a command; the codes that are not here are PROTOCOL.
REFUSALS = {
    "UNAUTHORIZED": ExitCode.AUTH,
    "FORBIDDEN": ExitCode.AUTH,
    "UNKNOWN_AGENT": ExitCode.MISSING,
    "UNKNOWN_CHECKPOINT": ExitCode.MISSING,
    "BAD_CONFIG": ExitCode.CONFIG,
    "AGENT_EXISTS": ExitCode.FAILED,
    "AGENT_IN_USE": ExitCode.FAILED,
    "CANNOT_MIGRATE": ExitCode.FAILED,
    "STORAGE_FAILED": ExitCode.STORAGE,
    "LIMIT": ExitCode.UNAVAILABLE,
    "SHUTTING_DOWN": ExitCode.UNAVAILABLE,
    "INTERNAL": ExitCode.INTERNAL,
}


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code that ``error`` stands for; an unforeseen one is INTERNAL."""
    if isinstance(error, AgentdError):
        return error.exit_code
    refusal = REFUSALS.get(str(getattr(error, "code", "")))
    if refusal is not None:
        return refusal
    for kind in type(error).__mro__:
        code = EXITS.get((kind.__module__.split(".")[0], kind.__qualname__))
        if code is not None:
            return code
    return ExitCode.INTERNAL


def describe(error: BaseException) -> str:
    """``error`` and its hint in one line."""
    code = exit_code_of(error)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror.lower()}"  # without the number and the quotes
    hint, wanted = getattr(error, "hint", None), getattr(error, "expected", None)
    if hint is None and wanted and hasattr(error, "code") and wanted not in text:
        hint = f"expected {wanted}"
    if hint is None and type(error).__name__ == "Unreachable" and "refused" in text:
        hint = "nothing listens there: `agentd serve` starts a daemon"
    ours = isinstance(error, AgentdError) or hasattr(error, "code")
    if code is ExitCode.INTERNAL and not ours:
        text = f"internal error: {type(error).__name__}: {text}"
        hint = "run again with -v for the traceback"
    return f"agentd: {text}" + (f"; {hint}" if hint and hint not in text else "")


def first_cause(error: BaseException) -> BaseException:
    """The exception inside nested groups that has the most telling exit code."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [first_cause(inner) for inner in error.exceptions]
    known = [leaf for leaf in leaves if exit_code_of(leaf) is not ExitCode.INTERNAL]
    return (known or leaves)[0]


def run(app: Any, arguments: Sequence[str] | None, terminal: Terminal) -> int:
    """Call a typer ``app`` and return the exit code, whatever happens inside."""
    try:
        result = app(args=arguments, prog_name="agentd", standalone_mode=False, obj=terminal)
        if result == ExitCode.INTERRUPTED:  # what typer makes of KeyboardInterrupt
            return _interrupted(terminal)
        return result if isinstance(result, int) else ExitCode.OK
    except KeyboardInterrupt:
        return _interrupted(terminal)
    except BrokenPipeError:
        return ExitCode.FAILED  # the reader of our output went away; nobody is left to tell
    except Exception as caught:
        return _report(caught, terminal)


def _interrupted(terminal: Terminal) -> int:
    terminal.complain("agentd: interrupted")
    return ExitCode.INTERRUPTED


def _report(caught: Exception, terminal: Terminal) -> int:
    if hasattr(caught, "format_message"):  # typer's own: a wrong command line
        text = caught.format_message()
        if type(caught).__name__ == "NoArgsIsHelpError":
            terminal.complain(text)
        elif text:
            context = getattr(caught, "ctx", None)
            path = context.command_path if context else "agentd"
            terminal.complain(f"agentd: {text.rstrip('.')}; see {path} --help")
        return ExitCode.USAGE
    if type(caught).__name__ == "Abort":
        return _interrupted(terminal)
    error = first_cause(caught)
    if terminal.verbosity > 0:
        traceback.print_exception(caught, file=terminal.err)
    unforeseen = exit_code_of(error) is ExitCode.INTERNAL and not isinstance(error, AgentdError)
    if unforeseen and (shadow := find_shadow()) is not None:
        terminal.complain(f"agentd: {shadow}")
        return ExitCode.CONFIG
    terminal.complain(describe(error))
    return exit_code_of(error)
