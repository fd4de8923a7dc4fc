"""Packages that a file of the user's hides: found when something has failed, told in one line.

Whatever is imported here may be the one that is hidden, so that it is very little.
"""

import os
import sys

NEEDED = (
    *("chess", "click", "gymnasium", "matplotlib", "minatar", "msgpack", "msgspec", "numpy"),
    *("onnx", "prometheus_client", "pyopencl", "rich", "safetensors", "starlette"),
    *("threadpoolctl", "typer", "uvicorn", "uvloop", "yaml", "zstandard"),
)
"""What agentd imports and does not bring, beside the standard library."""


def find_shadow() -> str | None:
    """Say which file was loaded by the name of a package that we need; None for none."""
    library = os.path.dirname(os.path.realpath(os.__file__))
    for name in sorted({*NEEDED, *sys.stdlib_module_names} & {*sys.modules}):
        file = getattr(sys.modules[name], "__file__", None)
        if file is None:
            continue
        place = os.path.realpath(file)
        packages = {"site-packages", "dist-packages", "lib-dynload"} & {*place.split(os.sep)}
        if not packages and not place.startswith(library + os.sep):
            return (
                f"{place} is loaded as {name!r} and hides the {name} that agentd needs; "
                "rename it, or keep its folder off PYTHONPATH"
            )
    return None
