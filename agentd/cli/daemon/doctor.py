"""``agentd doctor`` and ``agentd devices``: what this machine offers, and what to do about it."""

import importlib.util
import os
import platform
import resource
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy
import threadpoolctl
import typer

from agentd.cli.daemon.ports import find_holder
from agentd.cli.screen.flags import DataDir
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.config import default_data_dir
from agentd.engine.opencl_backend.devices import choose, list_devices
from agentd.engine.opencl_backend.tune import search
from agentd.engine.opencl_backend.tuning import save_tuning
from agentd.errors import JobFailed
from agentd.extras import install_hint

Verdict = Literal["ok", "note", "bad"]
MARKS: dict[Verdict, str] = {"ok": "✓", "note": "·", "bad": "✗"}
ENOUGH_FILES = 4096


@dataclass(frozen=True)
class Finding:
    """One fact about the machine; ``hint`` says what to do when it is not as it should be."""

    name: str
    verdict: Verdict
    value: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{MARKS[self.verdict]} {self.name:<12} {self.value}"
        return f"{line}\n{'':15}{self.hint}" if self.hint else line


def doctor(
    out: JsonScreen,
    data_dir: DataDir = None,
) -> None:
    """Look at Python, NumPy, OpenCL, the data directory, ports and limits. Exit 1 if one is bad."""
    findings = list(examine(data_dir))
    record = {"findings": [asdict(finding) for finding in findings]}
    out.report(record, "\n".join(map(str, findings)))
    bad = [finding.name for finding in findings if finding.verdict == "bad"]
    if bad:
        raise JobFailed(f"agentd will not run well here: {', '.join(bad)}")


Tune = Annotated[
    bool,
    typer.Option("--tune", help="Search the fastest kernel sizes of each, a minute; keep them."),
]


def devices(
    out: JsonScreen,
    tune: Tune = False,
) -> None:
    """List the devices that --device may name, or tune the kernels for them."""
    if tune:
        tuned = [_tune(entry["device"], out) for entry in list_opencl()]
        out.report({"tuned": tuned}, "\n".join(line["told"] for line in tuned) or _opencl_hint())
        return
    found = [
        {"device": "cpu", "name": platform.processor() or platform.machine(), "units": cores()}
    ]
    found += list_opencl()
    lines = [f"{d['device']:<12} {d['name']} ({d['units']} compute units)" for d in found]
    if len(found) == 1:
        lines.append(_opencl_hint())
    out.report({"devices": found}, "\n".join(lines))


def _tune(device: str, out: Terminal) -> dict[str, Any]:
    """Search and keep the tuning of one device; say each trial on the way."""
    best = search(
        device, lambda trial: out.note(f"{device} {trial.seconds * 1e3:.2f} ms {trial.tuning}")
    )
    path = save_tuning(choose(device), best.tuning)
    sizes = asdict(best.tuning)
    found = f"{device} {best.seconds * 1e3:.2f} ms with {sizes}, kept in {path}"
    return {"device": device, "seconds": best.seconds, "tuning": sizes, "told": found}


def examine(data_dir: Path | None) -> Iterator[Finding]:
    """Every finding, in the order in which they are told."""
    yield _python()
    yield _numpy()
    yield _uvloop()
    yield _opencl()
    yield _data_dir(data_dir)
    yield look_at_port("game port", 7331)
    yield look_at_port("http port", 7332)
    yield _files()
    yield Finding("cores", "ok" if cores() > 1 else "note", str(cores()))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def list_opencl() -> list[dict[str, Any]]:
    """OpenCL devices in the order of their index; empty without pyopencl or a platform."""
    if importlib.util.find_spec("pyopencl") is None:
        return []
    return [
        {
            "device": f"opencl:{device.index}",
            "name": f"{device.name} [{device.platform}]",
            "units": device.units,
        }
        for device in list_devices()
    ]


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    hint = "" if good else "agentd needs Python 3.11 or newer"
    where = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", "ok" if good else "bad", where, hint)


def _numpy() -> Finding:
    blas = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    if not blas:
        return Finding("numpy", "note", f"{numpy.__version__}, BLAS unknown")
    library = blas[0]
    name = f"{library['internal_api']} {library.get('version') or ''}".strip()
    return Finding("numpy", "ok", f"{numpy.__version__} with {name}")


def _uvloop() -> Finding:
    try:
        return Finding("uvloop", "ok", version("uvloop"))
    except PackageNotFoundError:
        hint = "pip install uvloop; agentd runs on asyncio's own loop without it, slower"
        return Finding("uvloop", "note", "absent", hint)


def _opencl() -> Finding:
    found = list_opencl()
    if not found:
        return Finding("opencl", "note", "no device", _opencl_hint())
    return Finding("opencl", "ok", "; ".join(f"{d['device']} {d['name']}" for d in found))


def _opencl_hint() -> str:
    if importlib.util.find_spec("pyopencl") is None:
        return f"{install_hint('opencl')} brings OpenCL on the CPU; agentd runs without"
    return "pyopencl is here but finds no platform: pip install pocl-binary-distribution"


def _data_dir(asked: Path | None) -> Finding:
    folder = asked or default_data_dir(os.environ)
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding("data dir", "bad", f"{folder}: not writable", "choose another: --data-dir D")
    free = os.statvfs(nearest)
    gib = free.f_bavail * free.f_frsize / 2**30
    verdict: Verdict = "ok" if gib >= 1 else "note"
    hint = "" if gib >= 1 else "replay and checkpoints need room; a full disk stops the learning"
    return Finding("data dir", verdict, f"{folder} ({gib:.1f} GiB free)", hint)


def look_at_port(name: str, port: int) -> Finding:
    """Whether ``port`` of loopback is free, and who has it otherwise."""
    if _can_bind(port):
        return Finding(name, "ok", f"{port} is free")
    holder = find_holder(port)
    value = f"{port} is in use" + (f" by {holder}" if holder else "")
    return Finding(name, "note", value, "fine if that is agentd; else: --port, --http-port")


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} (the daemon may raise it to {'any' if hard < 0 else hard})"
    if hard < 0 or hard >= ENOUGH_FILES:
        return Finding("open files", "ok", text)
    hint = "a connection takes one: raise the hard limit (limits.conf, LimitNOFILE= of systemd)"
    return Finding("open files", "note", text, hint)
