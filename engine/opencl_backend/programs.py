"""Built kernel files: once per process in memory, once per device and driver on disk."""

import contextlib
import fcntl
import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentd import kernels
from agentd.engine.opencl_backend.errors import KernelBuildError
from agentd.engine.opencl_backend.pocl import inlined, is_host
from agentd.engine.opencl_backend.tuning import cache_folder

_MAX_BINARY = 64 << 20


class Programs:
    """The programs of one context. A binary that the driver no longer takes is built anew."""

    def __init__(self, context: Any, device: Any) -> None:
        self._context, self._device = context, device
        self._built: dict[tuple[str, tuple[str, ...]], Any] = {}

    def get(self, file: str, options: tuple[str, ...]) -> Any:
        """Return the program of kernels/``file``.cl. Raises KernelBuildError."""
        key = (file, options)
        program = self._built.get(key)
        if program is None:
            program = self._built[key] = self.build(file, kernels.source(file), options)
        return program

    def build(self, file: str, source: str, options: tuple[str, ...]) -> Any:
        """Build ``source``, from its binary on disk where there is one. Raises KernelBuildError."""
        import pyopencl as cl

        if is_host(self._device):
            source, options = inlined(source), (*options, "-w")
        path = cache_folder() / "kernels" / f"{file}-{self._key(source, options)}.bin"
        program = self._load(path)
        if program is not None:
            return program
        what = " ".join(options)
        try:
            with _alone(path.parent), warnings.catch_warnings():
                warnings.simplefilter("ignore", cl.CompilerWarning)
                program = cl.Program(self._context, source).build(list(options), [self._device])
        except cl.Error as error:
            raise KernelBuildError(f"{file}.cl", self._device.name, what, str(error)) from error
        if not program.num_kernels:
            reason = "the driver built a program without kernels"
            raise KernelBuildError(f"{file}.cl", self._device.name, what, reason)
        _keep(path, program)
        return program

    def _load(self, path: Path) -> Any:
        import pyopencl as cl

        try:
            binary = path.read_bytes()
        except OSError:
            return None
        if not 0 < len(binary) <= _MAX_BINARY:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", cl.CompilerWarning)
                program = cl.Program(self._context, [self._device], [binary]).build()
        except cl.Error:
            return None
        return program if program.num_kernels else None

    def _key(self, source: str, options: tuple[str, ...]) -> str:
        device = self._device
        facts = (
            source,
            *options,
            device.platform.name,
            device.platform.version,
            device.name,
            device.version,
            device.driver_version,
        )
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process build at a time: PoCL's own cache breaks when two build the same kernel.

    Where the folder cannot be written, nobody is waited for.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context((folder / ".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep(path: Path, program: Any) -> None:
    """Write the program's binary aside, then rename it. An unwritable cache is no error."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.write_bytes(program.get_info(_binaries())[0])
        aside.replace(path)
    except OSError:
        return


def _binaries() -> Any:
    import pyopencl as cl

    return cl.program_info.BINARIES
