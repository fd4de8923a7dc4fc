"""What to install for an optional part: the packages themselves, as agentd's own metadata has them.

Never ``agentd[...]``: by that name PyPI holds another project.
"""

import re
from collections.abc import Iterator
from pathlib import Path

OURS = "agentd-rl"
"""The distribution; command and import are ``agentd``."""
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?")


def install_hint(extra: str) -> str:
    """Return the command that installs the packages of an extra of agentd."""
    names = dict.fromkeys(_packages(extra, _extras()))
    names = names or dict.fromkeys(_packages(extra, _extras_of_clone()))
    return "pip install " + " ".join(f"'{name}'" if "[" in name else name for name in names)


def _packages(extra: str, extras: dict[str, list[str]]) -> Iterator[str]:
    """The names of an extra's packages; those of an extra within it are its own."""
    for line in extras.get(extra, ()):
        found = _NAME.match(line)
        if found is None:
            continue
        if found[1] == OURS:
            for inner in (found[2] or "").strip("[]").split(","):
                yield from _packages(inner.strip(), extras)
        else:
            yield found[0]


def _extras() -> dict[str, list[str]]:
    """The requirements of each extra, from the installed metadata or from a clone's own file."""
    from importlib import metadata  # takes as long to load as the configuration: for hints only

    try:
        lines = metadata.requires(OURS) or []
    except metadata.PackageNotFoundError:
        return _extras_of_clone()
    found: dict[str, list[str]] = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        if (extra := _EXTRA.search(marker)) is not None:
            found.setdefault(extra[1], []).append(requirement.strip())
    return found


def _extras_of_clone() -> dict[str, list[str]]:
    import tomllib

    path = Path(__file__).resolve().parent.parent / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        return dict(project["optional-dependencies"])
    except (OSError, ValueError, LookupError):
        return {}
