"""How kernels are cut for a device: vector widths, lanes, tiles."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes that change a kernel's speed and never its result.

    width   floats in a vector
    lanes   work-items that share a row in row-wise kernels, a power of two
    local   work-items in a group of an elementwise kernel
    tiled   whether matrix products run on tiles in local memory (GPU) or on packed panels (CPU)
    rows    MR, rows of sums in registers (panels); TM and TN of tiles
    depth   KC, depth of a panel; BK of tiles
    """

    width: int
    lanes: int
    local: int
    tiled: bool
    rows: int
    depth: int

    @property
    def options(self) -> tuple[str, ...]:
        """The macros that every kernel file is built with."""
        return f"-DWIDTH={self.width}", f"-DLANES={self.lanes}"


CPU = Tuning(width=16, lanes=1, local=64, tiled=False, rows=8, depth=256)
GPU = Tuning(width=4, lanes=64, local=128, tiled=True, rows=4, depth=16)
