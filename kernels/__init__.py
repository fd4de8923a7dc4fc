"""OpenCL C sources, one idea a file; ``engine.opencl_backend`` builds and launches them.

Every ``.cl`` file opens with the same header: Shapes, Launch, Mirror (its twin in
``engine.numpy_backend``), Bound (what limits it) and, where it has any, Tuning (its macros). Arrays
come as a buffer and the index of their first number, so a view needs no alignment.
"""

import re
from importlib.resources import files

_INCLUDE = re.compile(r'^#include "(\w+\.clh)"$', re.M)


def source(name: str) -> str:
    """Return the text of ``name``.cl with its includes in place.

    Raises FileNotFoundError when there is no such kernel file.
    """
    room = files(__name__)

    def include(found: re.Match[str]) -> str:
        return room.joinpath(found[1]).read_text("utf-8")

    return _INCLUDE.sub(include, room.joinpath(f"{name}.cl").read_text("utf-8"))


def names() -> list[str]:
    """Return the names of all kernel files, sorted."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".cl") for name in entries if name.endswith(".cl"))
