"""The walls of the house, read from the syntax tree; each has a planted defect that it must find.

A check takes the root of a checkout and returns its findings, one line each, so the same function
runs over this repository and over small trees with one defect in them.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version as installed_version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("agentd", "engine", "games", "kernels")
SOURCE = (*PRODUCT, "scripts", "tests")
TOP_LEVEL = {*SOURCE, "docs", "pyproject.toml", "LICENSE"}
TOP_LEVEL |= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"}
CLI = ("agentd/cli/", "agentd/__main__.py")
MAX_LINES = {"product": 400, "scripts": 450, "tests": 500}
WORLD = {
    *("asyncio", "socket", "socketserver", "selectors", "select", "ssl", "time", "signal"),
    *("threading", "multiprocessing", "subprocess", "concurrent"),
}
STDLIB = set(sys.stdlib_module_names)
_IMPORTS = {
    "kernels": "pure agentd.kernels",
    "engine": "pure agentd.engine agentd.kernels numpy msgspec yaml safetensors pyopencl",
    "engine/data/prefetch": "pure threading",
    "engine/numpy_backend/gemm": "pure agentd.engine numpy threadpoolctl",
    "engine/numpy_backend/trial": "pure time",
    "games": "pure agentd.games numpy chess zstandard",
    "games/chess/data/rust_reader": "pure agentd.games numpy rust_pgn_reader_python_binding",
    "agentd/protocol": "pure agentd.protocol numpy msgpack msgspec",
    "agentd/dialects": "pure agentd.dialects agentd.protocol numpy msgspec",
    "agentd/client": "stdlib agentd.client agentd.protocol agentd.latency numpy msgpack "
    "msgspec gymnasium",
    "agentd/cli": "stdlib agentd numpy msgspec typer click rich uvloop threadpoolctl pyopencl "
    "chess matplotlib",
    "agentd/conformance/environment": "stdlib agentd numpy gymnasium",
    "agentd/chess": "stdlib agentd numpy msgspec chess safetensors",
    "agentd/rl": "stdlib agentd numpy msgspec gymnasium minatar",
    "agentd/cluster": "stdlib agentd numpy msgspec ray",
    "agentd/export": "pure agentd numpy safetensors onnx",
    "agentd/export/run": "stdlib agentd numpy onnx onnxruntime",
    "agentd": "stdlib agentd numpy msgpack msgspec yaml safetensors threadpoolctl uvloop "
    "starlette uvicorn prometheus_client",
}
_MANY = {"stdlib": STDLIB, "pure": STDLIB - WORLD}
ROOMS = {k: {n for word in v.split() for n in _MANY.get(word, {word})} for k, v in _IMPORTS.items()}
"""What each room may import. The most specific room wins: agentd/protocol before agentd."""
NO_GAMES = ("server", "learner", "memory", "assembly", "config", "store", "client", "protocol")
"""Rooms of the daemon: they know a game's schema, and by ``agentd/simulated.py`` its rules."""
FLOORS = {"agentd/server": 7, "engine": 7, "games": 5, "agentd/cli": 6}
"""The longest chain of imports between a folder's files and rooms."""
UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
VAGUE = re.compile(r"(^|_)(utils?|common|core|helpers?|managers?|misc)(_|$)")
KERNEL_HEADER = ("Shapes", "Launch", "Mirror", "Bound")


def files(root: Path, rooms: tuple[str, ...] = SOURCE, suffix: str = "py") -> Iterator[Path]:
    """Every file of a room once: the folders that agentd/ links to count where they lie."""
    for room in rooms:
        for path in sorted((root / room).rglob(f"*.{suffix}")):
            if not any(parent.is_symlink() for parent in path.parents):
                yield path


@cache
def nodes(text: str) -> list[ast.AST]:
    """The nodes of a file's syntax tree that import or call."""
    wanted = (ast.Import, ast.ImportFrom, ast.Call)
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, wanted)]


def imports(path: Path) -> Iterator[str]:
    """Every absolute module name that ``path`` imports, at any depth of the code."""
    for node in nodes(path.read_text()):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "agentd" else [node.module or ""]
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@cache
def calls(text: str) -> list[str]:
    found = (node for node in nodes(text) if isinstance(node, ast.Call))
    return [ast.unparse(c.func) + "(allow_pickle)" * _allows_pickle(c) for c in found]


def _allows_pickle(call: ast.Call) -> bool:
    return any(
        word.arg == "allow_pickle"
        and not (isinstance(word.value, ast.Constant) and word.value.value is False)
        for word in call.keywords
    )


def room_of(place: str) -> str:
    inside = f"{place.removesuffix('.py')}/"
    return max((room for room in ROOMS if inside.startswith(room + "/")), key=len)


def imports_stay_in_their_room(root: Path) -> list[str]:
    findings = []
    for path in files(root, PRODUCT):
        place = path.relative_to(root).as_posix()
        allowed = ROOMS[room_of(place)]
        for name in imports(path):
            parts = name.split(".")
            if not {".".join(parts[:depth]) for depth in (1, 2)} & allowed:
                findings.append(f"{place} imports {name}")
    return findings


def the_daemon_knows_no_game(root: Path) -> list[str]:
    rooms = tuple(f"agentd/{room}/" for room in NO_GAMES)
    return [
        f"{place} imports {name}"
        for path in files(root, PRODUCT)
        if (place := path.relative_to(root).as_posix()).startswith(rooms)
        for name in imports(path)
        if f"{name}.".startswith("agentd.games.")
    ]


def one_name_to_import(root: Path) -> list[str]:
    """The fixed top-level folders are imported as parts of agentd, under no name of their own."""
    return [
        f"{path.relative_to(root)} imports {name}"
        for path in files(root)
        for name in imports(path)
        if name.split(".")[0] in {"engine", "games", "kernels"}
    ]


def only_the_cli_draws(root: Path) -> list[str]:
    return [
        f"{place} imports {name}"
        for path in files(root, PRODUCT)
        if not (place := path.relative_to(root).as_posix()).startswith("agentd/cli/")
        for name in imports(path)
        if name.split(".")[0] in {"typer", "click", "rich"}
    ]


def module_of(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def import_graph(root: Path) -> dict[str, set[str]]:
    """Which module names which others, imports inside functions and for types alone counted.

    ``from package import name`` names the module ``package.name`` where there is one.
    """
    modules = {module_of(root, path): path for path in files(root, (*PRODUCT, "scripts"))}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in modules.items():
        for node in nodes(path.read_text()):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                named = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in named:
                found = _module_named(name, modules)
                if found is not None and found != module:
                    graph[module].add(found)
    return graph


def _module_named(name: str, modules: Iterable[str]) -> str | None:
    name = re.sub(r"^agentd\.(?=(engine|games|kernels)\b)", "", name)
    for candidate in (name, f"scripts.{name}"):
        while candidate and candidate != "scripts":
            if candidate in modules:
                return candidate
            candidate = candidate.rpartition(".")[0]
    return None


def circles_in(graph: Mapping[str, set[str]]) -> list[frozenset[str]]:
    """The groups of two and more nodes that reach each other."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = [*graph[start]]
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += graph[node]
        reached[start] = seen
    groups = {
        frozenset(other for other in reached[node] if node in reached[other])
        for node in graph
        if node in reached[node]
    }
    return sorted(groups, key=sorted)


def no_circle_of_imports(root: Path) -> list[str]:
    return [" <-> ".join(sorted(circle)) for circle in circles_in(import_graph(root))]


def rooms_in(root: Path, folder: str) -> dict[str, set[str]]:
    """The rooms of a folder (its files and folders) and which of them each imports."""
    inside = folder.replace("/", ".") + "."
    rooms: dict[str, set[str]] = {}
    for module, named in import_graph(root).items():
        if module.startswith(inside):
            room = module.removeprefix(inside).split(".")[0]
            others = (other.removeprefix(inside) for other in named if other.startswith(inside))
            rooms.setdefault(room, set()).update({other.split(".")[0] for other in others} - {room})
    return rooms


def no_circle_of_rooms(root: Path) -> list[str]:
    return [
        f"{folder}: " + " <-> ".join(sorted(circle))
        for folder in (*FLOORS, "agentd")
        for circle in circles_in(rooms_in(root, folder))
    ]


def few_floors(root: Path) -> list[str]:
    findings = []
    for folder, most in FLOORS.items():
        rooms = rooms_in(root, folder)
        if circles_in(rooms):
            continue  # another wall's finding
        floors: dict[str, int] = {}

        def floor(room: str, rooms: dict[str, set[str]], floors: dict[str, int]) -> int:
            if room not in floors:
                below = (floor(other, rooms, floors) for other in rooms[room])
                floors[room] = 1 + max(below, default=0)
            return floors[room]

        highest = max((floor(room, rooms, floors) for room in rooms), default=0)
        if highest > most:
            findings.append(f"{folder} has {highest} floors, at most {most}")
    return findings


def nobody_calls_the_cli(root: Path) -> list[str]:
    return [
        f"{place} imports {name}"
        for path in files(root, PRODUCT)
        if not (place := path.relative_to(root).as_posix()).startswith(CLI)
        for name in imports(path)
        if f"{name}.".startswith("agentd.cli.")
    ]


def only_the_cli_prints_and_exits(root: Path) -> list[str]:
    doors = (*CLI, *(f"agentd/{r}/__main__.py" for r in ("cluster", "learner", "replicas", "rl")))
    findings = []
    for path in files(root, PRODUCT):
        place = path.relative_to(root).as_posix()
        if place.startswith(doors):
            continue
        findings += [
            f"{place} calls {name}"
            for name in calls(path.read_text())
            if name in {"print", "sys.exit", "exit", "quit", "SystemExit"}
        ]
    return findings


def nothing_is_unpickled(root: Path) -> list[str]:
    findings = []
    for path in files(root):
        place = path.relative_to(root).as_posix()
        for name in imports(path):
            if name.split(".")[0] in UNPICKLERS:
                findings.append(f"{place} imports {name}")
        # Tests may write what the product must refuse to read.
        reads = "load" if place.startswith("tests/") else ""
        findings += [
            f"{place}: {name}"
            for name in calls(path.read_text())
            if name.endswith("(allow_pickle)") and reads in name
        ]
    return findings


def yaml_is_read_strictly(root: Path) -> list[str]:
    loose = re.compile(r"^yaml\.(safe_|full_|unsafe_)?load(_all)?$")
    return [
        f"{path.relative_to(root)} calls {name}"
        for path in files(root, PRODUCT)
        for name in calls(path.read_text())
        if loose.match(name)
    ]


def names_say_what_is_inside(root: Path) -> list[str]:
    return [
        str(path.relative_to(root))
        for room in SOURCE
        for path in sorted((root / room).rglob("*"))
        if not any(parent.is_symlink() for parent in path.parents)
        and (path.is_dir() or path.suffix in {".py", ".cl"})
        and VAGUE.search(path.stem)
    ]


def files_fit_on_a_few_screens(root: Path) -> list[str]:
    return [
        f"{place} has {lines} lines"
        for path in (*files(root), *files(root, ("kernels",), "cl"))
        if (lines := len(path.read_text().splitlines()))
        > MAX_LINES.get((place := path.relative_to(root)).parts[0], MAX_LINES["product"])
    ]


def no_package_in_tests(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in (root / "tests").rglob("__init__.py")]


def kernels_carry_their_header(root: Path) -> list[str]:
    findings = []
    for path in files(root, ("kernels",), "cl"):
        head = path.read_text().split("__kernel", 1)[0]
        comment = "\n".join(line for line in head.splitlines() if line.startswith("//"))
        missing = [
            word for word in KERNEL_HEADER if not re.search(rf"^// +{word}\b", comment, re.M)
        ]
        if missing:
            findings.append(f"{path.relative_to(root)} lacks {', '.join(missing)}")
    return findings


def versions_agree(root: Path) -> list[str]:
    """The package's version is the newest of the changelog."""
    code = re.search(r'__version__ = "([^"]+)"', (root / "agentd/__init__.py").read_text())
    released = re.findall(r"^## \[([^\]]+)\]", (root / "CHANGELOG.md").read_text(), re.M)
    newest = next((name for name in released if name != "Unreleased"), None)
    if code is None or newest != code[1]:
        return [f"agentd {code and code[1]}, CHANGELOG.md {newest}"]
    return []


def top_level_is_fixed(root: Path) -> list[str]:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False
    )
    tops = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    return sorted(top for top in tops - TOP_LEVEL if not top.startswith("."))


CHECKS: dict[Callable[[Path], list[str]], list[tuple[str, str]]] = {
    imports_stay_in_their_room: [
        ("engine/a.py", "import asyncio"),
        ("engine/data/batches.py", "import threading"),
        ("engine/data/prefetch.py", "import time"),
        ("engine/a.py", "def f():\n    from time import sleep\n"),
        ("engine/a.py", "from agentd import config"),
        ("engine/a.py", "import agentd.games.catch"),
        ("games/a.py", "import engine"),
        ("games/a.py", "import socket"),
        ("agentd/protocol/a.py", "import time"),
        ("agentd/protocol/a.py", "import agentd.engine.backend"),
        ("agentd/protocol/a.py", "from agentd import config"),
        ("agentd/client/a.py", "from agentd.server import Server"),
        ("agentd/client/a.py", "from agentd import server"),
        ("agentd/client/a.py", "import agentd.engine"),
        ("agentd/client/a.py", "from .. import server"),
        ("agentd/a.py", "import torch"),
        ("agentd/server/a.py", "import ray"),
    ],
    the_daemon_knows_no_game: [
        ("agentd/server/a.py", "from agentd.games.catch import Catch"),
        ("agentd/learner/a.py", "from agentd import games"),
    ],
    one_name_to_import: [
        ("agentd/chess/a.py", "from games.catch import Catch"),
        ("tests/engine/test_b.py", "import engine.backend"),
    ],
    only_the_cli_draws: [("agentd/rl/a.py", "import rich")],
    no_circle_of_imports: [
        ("agentd/store/a.py", "from agentd.store import b"),
        (
            "agentd/store/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import agentd.store.b\n",
        ),
        ("agentd/store/a.py", "def f():\n    from agentd.store.b import y\n"),
    ],
    no_circle_of_rooms: [("agentd/config/a.py", "import agentd.store.b")],
    few_floors: [("games/a.py", "import agentd.games.floor5")],
    nobody_calls_the_cli: [
        ("agentd/server/a.py", "from agentd.cli import main"),
        ("agentd/a.py", "from agentd import cli"),
    ],
    only_the_cli_prints_and_exits: [
        ("agentd/server/a.py", "print('hello')"),
        ("engine/a.py", "import sys\nsys.exit(1)"),
        ("games/a.py", "raise SystemExit(2)"),
    ],
    nothing_is_unpickled: [
        ("engine/a.py", "import pickle"),
        ("tests/a.py", "from cloudpickle import loads"),
        ("engine/a.py", "import numpy as np\nnp.load('x', allow_pickle=True)"),
        ("engine/a.py", "import numpy as np\nnp.load('x', allow_pickle=flag)"),
        ("tests/a.py", "import numpy as np\nnp.load('x', allow_pickle=True)"),
    ],
    yaml_is_read_strictly: [
        ("agentd/a.py", "import yaml\nyaml.load('a', yaml.SafeLoader)"),
        ("agentd/a.py", "import yaml\nyaml.safe_load('a')"),
    ],
    names_say_what_is_inside: [
        ("agentd/utils.py", ""),
        ("engine/core/a.py", ""),
        ("games/board_helpers.py", ""),
        ("tests/agentd/common.py", ""),
    ],
    files_fit_on_a_few_screens: [
        ("engine/a.py", "x = 1\n" * 401),
        ("kernels/a.cl", "// x\n" * 401),
    ],
    no_package_in_tests: [("tests/engine/__init__.py", "")],
    kernels_carry_their_header: [
        (
            "kernels/a.cl",
            "// Shapes x\n// Launch y\n// Mirror z\n__kernel void a() {}\n// Bound w\n",
        ),
        ("kernels/a.cl", "__kernel void a() {}\n"),
    ],
    versions_agree: [("CHANGELOG.md", "## [Unreleased]\n## [9.9.9] - 2026-01-01\n")],
}


@pytest.mark.parametrize("check", [*CHECKS, top_level_is_fixed], ids=lambda check: check.__name__)
def test_wall_stands(check: Callable[[Path], list[str]]) -> None:
    assert check(ROOT) == []


@pytest.mark.parametrize(
    ("check", "place", "defect"),
    [(check, *plant) for check, plants in CHECKS.items() for plant in plants],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_wall_notices_a_planted_defect(
    check: Callable[[Path], list[str]], place: str, defect: str, tmp_path: Path
) -> None:
    sound = {
        "agentd/__init__.py": '__version__ = "0.1.0"\n',
        "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n",
        "kernels/fine.cl": "// fine\n// Shapes x\n// Launch y\n// Mirror z\n// Bound w\n",
        "tests/engine/test_a.py": "import socket\n",
        "agentd/store/b.py": "import agentd.store.a\nimport agentd.config.b\n",
        "agentd/config/b.py": "",
        "games/floor1.py": "",
        **{f"games/floor{n}.py": f"import agentd.games.floor{n - 1}" for n in range(2, 6)},
    }
    for name, text in sound.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert check(tmp_path) == []

    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(defect)

    assert len(check(tmp_path)) == 1


def test_top_level_check_notices_a_planted_folder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "extras").mkdir()
    (tmp_path / "extras/a.py").write_text("")
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)

    assert top_level_is_fixed(tmp_path) == ["extras"]


def test_installed_version_is_the_code_version() -> None:
    import agentd

    assert installed_version("agentd-rl") == agentd.__version__


def test_client_loads_nothing_heavy() -> None:
    heavy = ["agentd.engine", "agentd.server", "agentd.learner", "agentd.games"]
    heavy += ["yaml", "safetensors", "typer"]
    code = f"import agentd.client, sys; print([m for m in {heavy} if m in sys.modules])"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"
