"""A daemon in a process of its own, for the commands that play against one."""

import contextlib
import queue
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from agentd.children import child_environment, python_module
from agentd.client.address import Address
from agentd.errors import AgentdError, ExitCode, JobFailed

LISTENING = "listening on "
START_S = 180.0  # on a device whose kernels are still to be built, on a busy machine
STOP_S = 60.0  # to answer and save, on a busy machine
LOG_TAIL = 5


class DaemonFailed(AgentdError):
    """The daemon did not start, or came to a bad end; carries its own exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        known = {int(value) for value in ExitCode} - {ExitCode.OK}
        self.exit_code = ExitCode(code) if code in known else ExitCode.FAILED


class Daemon:
    """``agentd serve`` on a free port of loopback; a context manager that ends it orderly.

    The daemon has a process group of its own, so that Ctrl-C in the terminal reaches only the
    command, which then stops clients and daemon in that order. Should the command be killed, the
    daemon sees the end of its stdin and ends as well.
    """

    def __init__(self, data_dir: Path, *, flags: Sequence[str] = ()) -> None:
        self.data_dir = data_dir
        self.log = data_dir / "serve.log"
        self.host, self.port = "127.0.0.1", 0
        self._flags = flags
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def __enter__(self) -> Self:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = python_module("agentd", "serve", "--port", "0", "--no-http", "--until-eof")
        command += ["--data-dir", str(self.data_dir), *self._flags]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.PIPE,
                text=True,
                env=child_environment(),
                start_new_session=True,
            )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        code = self.stop()
        if error is None and code != 0:
            said = f"ended with code {code}"
            if code == -signal.SIGKILL:
                said = f"was killed, perhaps as it did not end within {STOP_S:.0f} s"
            raise DaemonFailed(f"the daemon {said}: {self.last_words()}", code)

    def check(self) -> None:
        """Raise DaemonFailed when the daemon has ended."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise DaemonFailed(f"the daemon ended with code {code}: {self.last_words()}", code)

    def stop(self) -> int:
        """Ask the daemon to save and end; kill it when it takes too long. Returns its code."""
        process = self._process
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def last_words(self) -> str:
        """The end of the daemon's log, as one line."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return "no log"
        return " | ".join(line.strip() for line in lines[-LOG_TAIL:] if line.strip()) or "no log"

    def _await_ready(self, process: subprocess.Popen[str]) -> None:
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        reader = threading.Thread(target=_forward, args=(process, lines), daemon=True)
        reader.start()
        while True:
            try:
                line = lines.get(timeout=START_S)
            except queue.Empty:
                raise JobFailed(f"the daemon was not ready within {START_S:.0f} s") from None
            if not line:
                code = process.wait()
                raise DaemonFailed(f"the daemon did not start: {self.last_words()}", code)
            if line.startswith(LISTENING):
                self.host, self.port, *_ = Address.parse(line.removeprefix(LISTENING).strip())
                return


def _forward(process: subprocess.Popen[str], lines: queue.SimpleQueue[str]) -> None:
    """Hand on the lines of the daemon's stdout; "" for its end."""
    if process.stdout is None:
        return
    with contextlib.suppress(ValueError, OSError):  # closed under us when the daemon is stopped
        for line in process.stdout:
            lines.put(line)
    lines.put("")
