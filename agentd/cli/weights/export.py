"""``agentd export``: a trained agent or network as a file of its own."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from agentd.cli.screen.flags import DataDir
from agentd.cli.screen.options import JsonScreen
from agentd.cli.weights.against_daemon import ask_daemon
from agentd.cli.weights.sources import StoredPolicy, find_agent, is_run, run_policy
from agentd.errors import JobFailed, UsageError
from agentd.export.arrays import array_bytes, own_arrays, sb3_arrays
from agentd.export.cfile import c_file
from agentd.export.graph import PolicyGraph
from agentd.export.onnxfile import onnx_file
from agentd.export.probe import Agreement, make_probe
from agentd.export.run import check_file
from agentd.export.script import gdscript_file, js_file
from agentd.memory.recorded import Recorded
from agentd.runs import Run, save_weights
from agentd.runs.int8 import calibration_rows
from agentd.store import write_file

SUFFIXES = {
    "safetensors": "safetensors",
    "npz": "npz",
    "pb": "pb",
    "onnx": "onnx",
    "c": "h",
    "js": "mjs",
    "gdscript": "gd",
}
ARRAYS = ("safetensors", "npz")
LAYOUTS = {"godot-rl": ("onnx",), "unity": ("onnx",), "sb3": ARRAYS}
_WRITERS = {"c": c_file, "js": js_file, "gdscript": gdscript_file}


def export(
    screen: JsonScreen,
    source: Annotated[
        str, typer.Argument(metavar="AGENT|RUN", help="An agent, AGENT@CHECKPOINT, or a folder.")
    ],
    to: Annotated[
        str, typer.Option("--to", help="safetensors, npz, pb, onnx, c, js or gdscript.")
    ] = "safetensors",
    out: Annotated[
        Path | None, typer.Option(help="The file; RUN/weights.<form> or AGENT.<form> without.")
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="A run's best epoch, not the last.")] = False,
    layout: Annotated[
        str | None, typer.Option("--for", help="godot-rl, unity (onnx); sb3 (safetensors, npz).")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Weights in int8: a quarter.")] = False,
    qdq: Annotated[
        bool, typer.Option("--qdq", help="onnx: inputs of products in 8 bits too.")
    ] = False,
    actions: Annotated[
        str | None, typer.Option(help="Names of the actions, to be kept in the file: left,right.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the file's choices with the engine's.")
    ] = False,
    states: Annotated[int, typer.Option(min=10, max=1_000_000, help="To compare on.")] = 1000,
    connect: Annotated[
        str | None, typer.Option(help="Compare with the daemon at HOST:PORT.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write a trained agent or network as a file: weights, or a policy that needs no daemon."""
    int8 = int8 or qdq
    _require_fitting(to, layout, int8)
    if qdq and to != "onnx":
        raise UsageError(f"--qdq: want --to onnx, got {to}")
    folder = Path(source).expanduser()
    if is_run(folder) and not (check or connect):
        _export_run(screen, folder, to, out, best, int8, qdq, layout)
        return
    if is_run(folder):
        raise UsageError(f"{source}: --check is for agents; `agentd test` measures a run")
    if best or to == "pb":
        raise UsageError(f"{'--best' if best else '--to pb'} is for runs of `agentd train`")
    names = tuple(part.strip() for part in actions.split(",")) if actions else ()
    found = find_agent(source, data_dir, names)
    recorded = found.recorded() if int8 or check or connect else None
    fitted = recorded.fitted if recorded and int8 else None
    written = found.rounded(fitted, ranges=qdq) if int8 else found
    path = out or Path(f"{found.policy.name}.{SUFFIXES[to]}")
    data = _file(written, to, layout)
    write_file(path, data)
    record = _record(path, written, len(data))
    text = f"wrote {path}: {len(data):,} bytes, {found.checkpoint or 'untrained weights'}"
    if int8:
        record["fitted_rows"] = 0 if fitted is None else len(fitted)
        text += f", int8 {_fitted(record['fitted_rows'])}"
    if not (check or connect):
        screen.report(record, text)
        return
    agreement = _check(found, recorded, written.policy, to, layout, data, states, connect)
    record["check"] = {**asdict(agreement), "share": agreement.share}
    screen.report(record, f"{text}\n{_told(agreement)}")
    if not agreement.holds(int8):
        raise JobFailed(f"{path} does not choose as the agent does: {_told(agreement)}")


def _require_fitting(to: str, layout: str | None, int8: bool) -> None:
    if to not in SUFFIXES:
        raise UsageError(f"--to {to}: want one of {', '.join(SUFFIXES)}")
    if layout is not None and to not in LAYOUTS.get(layout, ()):
        forms = LAYOUTS.get(layout)
        want = f"--to {' or '.join(forms)} with it" if forms else f"one of {', '.join(LAYOUTS)}"
        raise UsageError(f"--for {layout}: want {want}")
    if int8 and (layout is not None or to == "pb"):
        raise UsageError(
            f"--int8: {f'--for {layout}' if layout else '--to pb'} holds float32 alone"
        )


def _fitted(rows: int) -> str:
    return f"fitted to {rows:,} recorded rows" if rows else "rounded to the nearest: no rows kept"


def _file(written: StoredPolicy, to: str, layout: str | None) -> bytes:
    policy = written.policy
    if to == "onnx":
        return onnx_file(policy, layout or "plain")
    if to not in ARRAYS:
        return _WRITERS[to](policy)
    if layout == "sb3":
        arrays, act = sb3_arrays(policy)
        return array_bytes(to, arrays, {**policy.facts, "activation": act})
    return array_bytes(to, own_arrays(written.network, written.flat, policy), policy.facts)


def _record(path: Path, found: StoredPolicy, size: int) -> dict[str, Any]:
    return {
        "file": str(path),
        "checkpoint": found.checkpoint,
        "updates": found.updates,
        "parameters": len(found.flat),
        "bytes": size,
        "weight_bytes": found.policy.weight_bytes,
    }


def _export_run(
    screen: JsonScreen,
    folder: Path,
    to: str,
    out: Path | None,
    best: bool,
    int8: bool,
    qdq: bool,
    layout: str | None,
) -> None:
    """Export a supervised run: safetensors, npz and pb as its own loader reads them again."""
    if layout is not None:
        raise UsageError(f"--for {layout}: want an agent, got the run {folder}")
    snapshot = Run.open(folder).load(best=best)
    path = out or folder / f"weights.{SUFFIXES[to]}"
    count = len(snapshot.weights)
    if to in ARRAYS or to == "pb":
        if int8:
            raise UsageError(f"--int8: a run's --to {to} holds float32 alone")
        shift, scale = snapshot.normalizer.shift, snapshot.normalizer.scale
        extra = {"normalize.shift": shift, "normalize.scale": scale}
        save_weights(path, to, snapshot.network, snapshot.weights, extra)
    else:
        found = run_policy(folder, snapshot)
        if int8:
            found = found.rounded(calibration_rows(snapshot), ranges=qdq)
        policy = found.policy
        write_file(path, onnx_file(policy) if to == "onnx" else _WRITERS[to](policy))
    record = {"file": str(path), "checkpoint": snapshot.name, "parameters": count}
    screen.report(record, f"wrote {path}: {count:,} numbers of {snapshot.name}")


def _check(
    found: StoredPolicy,
    recorded: Recorded | None,
    policy: PolicyGraph,
    to: str,
    layout: str | None,
    data: bytes,
    states: int,
    connect: str | None,
) -> Agreement:
    if to in ARRAYS or layout is not None:
        raise UsageError(f"--check: want --to onnx, c, js or gdscript without --for, got {to}")
    assert found.agent is not None
    seed = time.time_ns() % 2**32
    probe = make_probe(*found.agent[1:], found.flat, states, seed, recorded)
    if connect is not None:
        probe = ask_daemon(connect, found.agent, probe, found.updates)
    return check_file(policy, to, data, probe)


def _told(found: Agreement) -> str:
    text = f"same action in {found.same:,} of {found.states:,} states"
    if found.ties:
        text += f", {found.ties} more are ties by rounding"
    text += f"; values at most {found.worst:.1e} apart"
    return text + (f"; {found.us_per_action:.1f} µs an action" if found.us_per_action else "")
