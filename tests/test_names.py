"""One name, one meaning: no two classes of the product have the same name."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("agentd", "engine", "games", "kernels")


def class_names(root: Path) -> Counter[str]:
    """How many classes have a name; the backends' parallel ``*Ops`` count once a backend."""
    names: Counter[str] = Counter()
    for room in PRODUCT:
        for path in sorted((root / room).rglob("*.py")):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.endswith("Ops"):
                    names[node.name] += 1
    return names


def test_no_class_name_means_two_things() -> None:
    assert [name for name, count in class_names(ROOT).items() if count > 1] == []


def test_a_second_meaning_is_noticed(tmp_path: Path) -> None:
    for room in PRODUCT[:2]:
        (tmp_path / room).mkdir()
        (tmp_path / room / "a.py").write_text("class Pace:\n    pass\n")
    assert class_names(tmp_path)["Pace"] == 2
