"""How kernels are cut for a device: vector widths, lanes, tiles; shipped, or searched and kept."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agentd.engine.opencl_backend.devices import is_gpu


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes that change a kernel's speed and, but for two modes of ``mma``, never its result.

    width   floats in a vector: 4, 8 or 16
    chunk   numbers that an item of an elementwise kernel walks, a multiple of width
    lanes   work-items that share a row in row-wise kernels, a power of two
    local   work-items in a group of an elementwise kernel, a power of two
    tiled   whether matrix products run on tiles in local memory (GPU) or on packed panels (CPU)
    rows    MR, rows of sums in registers (panels); TM and TN of tiles
    depth   KC, depth of a panel; BK of tiles
    mma     products on NVIDIA's tensor cores, where they work: "tf32x3" keeps float32's precision;
            "tf32" and "bf16" do not and are for whoever asks for them; "" for none

    Raises ValueError on a size that no kernel was written for.
    """

    width: int
    chunk: int
    lanes: int
    local: int
    tiled: bool
    rows: int
    depth: int
    mma: str = ""

    def __post_init__(self) -> None:
        allowed = {
            "width": (4, 8, 16),
            "lanes": (1, 16, 32, 64, 128, 256),
            "local": (16, 32, 64, 128, 256),
            "rows": range(1, 17),
            "depth": (8, 16, 32, 64, 128, 256, 512),
            "mma": ("", "tf32x3", "tf32", "bf16"),
        }
        for name, sizes in allowed.items():
            if getattr(self, name) not in sizes:
                raise ValueError(f"tuning {name}: expected one of {list(sizes)}")
        if self.chunk < self.width or self.chunk % self.width:
            raise ValueError(f"tuning chunk: expected a multiple of {self.width}")

    @property
    def options(self) -> tuple[str, ...]:
        """The macros that every kernel file is built with."""
        return f"-DWIDTH={self.width}", f"-DCHUNK={self.chunk}", f"-DLANES={self.lanes}"


CPU = Tuning(width=16, chunk=8192, lanes=1, local=64, tiled=False, rows=8, depth=256)
"""Shipped for PoCL and other CPUs."""

GPU = Tuning(width=4, chunk=4, lanes=64, local=128, tiled=True, rows=4, depth=16)
"""Shipped for GPUs. Not measured yet: no GPU was at hand."""

NVIDIA = Tuning(width=4, chunk=4, lanes=32, local=128, tiled=True, rows=8, depth=8)
"""Shipped for NVIDIA: lanes are a warp, 8 x 8 sums an item. Not measured yet either."""


def default_tuning(device: Any) -> Tuning:
    """Return the shipped tuning for a pyopencl device."""
    if not is_gpu(device):
        return CPU
    return NVIDIA if "nvidia" in device.platform.name.lower() else GPU


def load_tuning(device: Any) -> Tuning | None:
    """Return what ``save_tuning`` kept for this device and driver; None without or when damaged."""
    try:
        return msgspec.json.decode(_path(device).read_bytes(), type=Tuning)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def save_tuning(device: Any, tuning: Tuning) -> Path:
    """Keep ``tuning`` for this device and driver in the user's cache folder; return the file."""
    path = _path(device)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_bytes(msgspec.json.encode(tuning))
    aside.replace(path)
    return path


def cache_folder() -> Path:
    """Return agentd's folder in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "agentd"


def _path(device: Any) -> Path:
    facts = (device.platform.name, device.name, device.version, device.driver_version)
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]
    return cache_folder() / "tuning" / f"{key}.json"
