"""Run ONNX's own node cases on the engine and report what passes and what is left out, and why.

python scripts/onnx_report.py                    a table by operator, then every exclusion
python scripts/onnx_report.py --device opencl    on another backend
python scripts/onnx_report.py --json out.json    every case, for other tools
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/engine/onnx")]


def results(device: str) -> list[Any]:
    """Return what became of each case on ``device``."""
    from onnx_runner import Cases

    from agentd.engine.devices import make_backend
    from agentd.engine.numpy_backend import NumPyBackend

    return Cases(
        make_backend(device), NumPyBackend(np.float64) if device == "cpu" else None
    ).run_all()


def table(rows: list[Any]) -> list[dict[str, Any]]:
    """Return one record an operator, the excluded cases named by reason."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row.operator].append(row)
    records = []
    for operator, cases in sorted(groups.items()):
        excluded: dict[str, list[str]] = defaultdict(list)
        for case in cases:
            if not case.passed:
                excluded[case.reason].append(case.case)
        passed = sum(case.passed for case in cases)
        record = {"operator": operator, "cases": len(cases), "passed": passed, "excluded": excluded}
        records.append(record)
    return records


def show(rows: list[Any]) -> None:
    """Print the table, the exclusions and the totals."""
    print(f"{'operator':32} {'cases':>6} {'passed':>6} {'excluded':>8}")
    records = table(rows)
    for r in records:
        if r["passed"]:
            left = r["cases"] - r["passed"]
            print(f"{r['operator']:32} {r['cases']:6} {r['passed']:6} {left:8}")
    print("\nexcluded:")
    for r in records:
        for reason, names in r["excluded"].items():
            print(f"  {r['operator']}, {len(names)}: {reason}")
            if not reason.startswith("no operator"):
                print(f"    {', '.join(names)}")
    passed = [row for row in rows if row.passed]
    single = sum("expanded" not in row.operator for row in passed)
    pure = sum(not row.numpy for row in passed)
    print(f"\n{len(passed)} of {len(rows)} cases passed, {sum(r.failed for r in rows)} wrong")
    print(f"{single} of them are one operator, {len(passed) - single} bodies of functions")
    print(f"in {pure} the engine does all arithmetic; in the others NumPy does these too:")
    rest = Counter(name for row in passed for name in row.numpy)
    print("  " + ", ".join(f"{name} ({count})" for name, count in rest.most_common()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu", help="cpu, opencl, opencl:1 or opencl:name")
    parser.add_argument("--json", type=Path, help="write the table and every case here")
    args = parser.parse_args()
    rows = results(args.device)
    show(rows)
    if args.json:
        report = {"device": args.device, "passed": sum(r.passed for r in rows), "total": len(rows)}
        report |= {"operators": table(rows), "cases": [row.as_row() for row in rows]}
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
