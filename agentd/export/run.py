"""Exported files at work: ONNX in its runtime, C, JavaScript and GDScript by their own tools.

A program reads the probe on stdin (rows float32 (N, D), first uint8 (N,), mask uint8 (N, A),
played int32 (N, branches)) and writes values float32 (N, A), then actions int32 (N, branches).
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.errors import JobFailed, MissingInput
from agentd.export.graph import PolicyGraph
from agentd.export.onnxfile import mask_name, output_names, played_name
from agentd.export.probe import Agreement, Probe, compare, frames_of, played_of
from agentd.extras import install_hint

_LONGEST_S = 600
C_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2")
_C_MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
{includes}
static void take(void *to, size_t size)
{{
    if (fread(to, 1, size, stdin) != size)
        exit(3);
}}
{parts}
int main(int argc, char **argv)
{{
    if (argc < 3)
        return 2;
{choices}    return 2;
}}
"""
_C_PART = """\
static int run_{name}(size_t n)
{{
    static {name}_policy p;
    float *rows = malloc(n * {row} * sizeof *rows), *q = malloc(n * {outputs} * sizeof *q);
    unsigned char *first = malloc(n), *mask = malloc(n * {outputs});
    int *played = malloc(n * {branches} * sizeof *played);
    int *action = malloc(n * {branches} * sizeof *action);
    size_t i;
    clock_t begun;
    if (!rows || !q || !first || !mask || !played || !action)
        return 4;
    take(rows, n * {row} * sizeof *rows);
    take(first, n);
    take(mask, n * {outputs});
    take(played, n * {branches} * sizeof *played);
    begun = clock();
    for (i = 0; i < n; i++) {{
        if (first[i])
            {name}_reset(&p);
        {name}_act(&p, rows + i * {row}, mask + i * {outputs}, action + i * {branches});
        memcpy(q + i * {outputs}, p.q, sizeof p.q);
        {name}_played(&p, played + i * {branches});
    }}
    fprintf(stderr, "%.9f %u\\n", (double)(clock() - begun) / CLOCKS_PER_SEC, (unsigned)sizeof p);
    fwrite(q, sizeof *q, n * {outputs}, stdout);
    fwrite(action, sizeof *action, n * {branches}, stdout);
    return 0;
}}
"""
_JS_MAIN = """\
import { readFileSync, writeSync } from "node:fs";
import { Policy, facts } from "./NAME.mjs";
const n = Number(process.argv[2]);
const [row, outputs, branches] = [ROW, OUTPUTS, BRANCHES];
const all = new Uint8Array(readFileSync(0)).buffer;
const rows = new Float32Array(all, 0, n * row);
const first = new Uint8Array(all, 4 * n * row, n);
const mask = new Uint8Array(all, 4 * n * row + n, n * outputs);
const played = new Int32Array(all.slice(4 * n * row + n + n * outputs));
const q = new Float32Array(n * outputs);
const action = new Int32Array(n * branches);
const policy = new Policy();
if (facts.agentd === undefined) throw new Error("no facts");
const begun = process.cpuUsage();
for (let i = 0; i < n; i++) {
  if (first[i]) policy.reset();
  const chosen = policy.act(
    rows.subarray(i * row, (i + 1) * row), mask.subarray(i * outputs, (i + 1) * outputs));
  action.set(branches === 1 ? [chosen] : chosen, i * branches);
  q.set(policy.values, i * outputs);
  policy.tell(Array.from(played.subarray(i * branches, (i + 1) * branches)));
}
const { user, system } = process.cpuUsage(begun);
process.stderr.write(`${(user + system) / 1e6} 0\\n`);
function write(data) {
  const bytes = Buffer.from(data.buffer);
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}
write(q);
write(action);
"""
_GD_MAIN = """\
extends SceneTree

func _init():
	var n = int(OS.get_cmdline_args()[-1])
	var file = File.new()
	file.open("res://probe.bin", File.READ)
	var rows = []
	for _i in range(n * ROW):
		rows.append(file.get_float())
	var first = file.get_buffer(n)
	var mask = file.get_buffer(n * OUTPUTS)
	var played = []
	for _i in range(n * BRANCHES):
		played.append(file.get_32())
	file.close()
	var policy = load("res://NAME.gd").new()
	var out = File.new()
	out.open("res://answer.bin", File.WRITE)
	var actions = []
	var begun = OS.get_ticks_usec()
	for i in range(n):
		if first[i] == 1:
			policy.reset()
		var legal = []
		for a in range(OUTPUTS):
			legal.append(mask[i * OUTPUTS + a])
		var row = []
		for a in range(ROW):
			row.append(rows[i * ROW + a])
		var chosen = policy.act(row, legal)
		if BRANCHES == 1:
			chosen = [chosen]
		for b in range(BRANCHES):
			actions.append(chosen[b])
		for a in range(OUTPUTS):
			out.store_float(policy.values[a])
		var told = []
		for b in range(BRANCHES):
			told.append(played[i * BRANCHES + b])
		policy.tell(told)
	for action in actions:
		out.store_32(action)
	out.close()
	var note = File.new()
	note.open("res://seconds.txt", File.WRITE)
	note.store_string(str((OS.get_ticks_usec() - begun) / 1000000.0))
	note.close()
	quit()
"""


def run_onnx(policy: PolicyGraph, data: bytes, probe: Probe) -> Agreement:
    """Compare a model of the plain layout: by onnxruntime, or by onnx's own evaluator."""
    feeds: dict[str, NDArray[Any]] = {mask_name(policy): probe.mask}
    frames = frames_of(probe.first, policy.stack)
    lead = (policy.stack,) if policy.stack > 1 else ()
    for t in probe.format.tensors:
        part = np.ascontiguousarray(probe.raw[:, t.offset : t.offset + t.nbytes]).view(t.dtype)
        feeds[t.name] = part[frames].reshape(len(part), *lead, *t.shape)
    if policy.last_actions:
        before = played_of(probe.first, probe.played, policy.last_actions)
        feeds[played_name(policy)] = before.astype(np.int64)
    q, action = onnx_session(data)(list(output_names(policy)), feeds)
    return compare(probe, q, action.astype(np.int32))


def onnx_session(data: bytes) -> Any:
    """Return a function from output names and feeds to arrays. Raises MissingInput."""
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # an input with a default is worth a warning to it
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(data, options, providers=providers).run
    except ImportError:
        pass
    try:
        from onnx import load_from_string
        from onnx.reference import ReferenceEvaluator
    except ImportError:
        raise MissingInput("onnxruntime is not installed", hint=install_hint("onnx")) from None
    return ReferenceEvaluator(load_from_string(data)).run


def build_c(policies: Sequence[PolicyGraph], headers: Sequence[bytes], folder: Path) -> Path:
    """Build one program that runs any of several headers by name. Raises JobFailed."""
    for policy, header in zip(policies, headers, strict=True):
        (folder / f"{policy.name}.h").write_bytes(header)
    choices = "".join(
        f'    if (strcmp(argv[1], "{p.name}") == 0)\n'
        f"        return run_{p.name}((size_t)strtoul(argv[2], NULL, 10));\n"
        for p in policies
    )
    parts = "\n".join(
        _C_PART.format(name=p.name, row=p.row, outputs=p.outputs, branches=len(p.branches))
        for p in policies
    )
    includes = "".join(f'#include "{p.name}.h"\n' for p in policies)
    text = _C_MAIN.format(includes=includes, parts=parts, choices=choices)
    source, program = folder / "main.c", folder / "main"
    source.write_text(text)
    _call([tool("cc", "gcc"), *C_FLAGS, str(source), "-o", str(program), "-lm"], folder, b"")
    return program


def run_c(program: Path, policy: PolicyGraph, probe: Probe) -> Agreement:
    """Compare one of a program's headers."""
    words = [str(program), policy.name, str(len(probe.raw))]
    out, err = _call(words, program.parent, _packed(probe))
    return _answers(policy, probe, out, float(err.split()[0]))


def run_js(policy: PolicyGraph, data: bytes, probe: Probe, folder: Path) -> Agreement:
    """Compare a module in Node."""
    (folder / f"{policy.name}.mjs").write_bytes(data)
    main = folder / f"main_{policy.name}.mjs"
    main.write_text(_filled(_JS_MAIN, policy))
    words = [tool("node"), str(main), str(len(probe.raw))]
    out, err = _call(words, folder, _packed(probe))
    return _answers(policy, probe, out, float(err.split()[0]))


def run_gdscript(policy: PolicyGraph, data: bytes, probe: Probe, folder: Path) -> Agreement:
    """Compare a script in Godot 3 without a screen."""
    (folder / f"{policy.name}.gd").write_bytes(data)
    (folder / "main.gd").write_text(_filled(_GD_MAIN, policy))
    (folder / "project.godot").write_text("config_version=4\n")
    (folder / "probe.bin").write_bytes(_packed(probe))
    for left in ("answer.bin", "seconds.txt"):
        (folder / left).unlink(missing_ok=True)
    states = str(len(probe.raw))
    godot = tool("godot3-server")
    out, err = _call([godot, "--path", str(folder), "-s", "main.gd", states], folder, b"")
    if not (folder / "seconds.txt").exists():
        raise JobFailed(f"{godot}: {(err + out.decode()).strip()[-400:]}")
    took = float((folder / "seconds.txt").read_text())
    return _answers(policy, probe, (folder / "answer.bin").read_bytes(), took)


def check_file(policy: PolicyGraph, form: str, data: bytes, probe: Probe) -> Agreement:
    """Compare an exported file of any format that acts. Raises MissingInput, JobFailed."""
    if form == "onnx":
        return run_onnx(policy, data, probe)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if form == "c":
            return run_c(build_c([policy], [data], folder), policy, probe)
        return (run_js if form == "js" else run_gdscript)(policy, data, probe, folder)


def tool(*names: str) -> str:
    """Return the first of the programs that is installed. Raises MissingInput."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise MissingInput(f"--check needs {names[-1]}, which is not installed")


def _filled(text: str, policy: PolicyGraph) -> str:
    marks = {"NAME": policy.name, "ROW": policy.row, "OUTPUTS": policy.outputs}
    for mark, value in (marks | {"BRANCHES": len(policy.branches)}).items():
        text = text.replace(mark, str(value))
    return text


def _packed(probe: Probe) -> bytes:
    parts = (probe.rows, probe.first.astype(np.uint8), probe.mask, probe.played.astype("<i4"))
    return b"".join(part.tobytes() for part in parts)


def _answers(policy: PolicyGraph, probe: Probe, out: bytes, seconds: float) -> Agreement:
    n, branches = len(probe.raw), len(policy.branches)
    if len(out) != 4 * n * (policy.outputs + branches):
        raise JobFailed(f"the exported program answered {len(out)} bytes for {n} states")
    cut = 4 * n * policy.outputs
    q = np.frombuffer(out[:cut], "<f4").reshape(n, policy.outputs)
    action = np.frombuffer(out[cut:], "<i4").reshape(n, branches)
    return compare(probe, q, action, 1e6 * seconds / n)


def _call(words: list[str], folder: Path, given: bytes) -> tuple[bytes, str]:
    try:
        done = subprocess.run(
            words, input=given, cwd=folder, capture_output=True, timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise JobFailed(f"{words[0]} took longer than {_LONGEST_S} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise JobFailed(f"{words[0]} ended with {done.returncode}: {said[-800:]}")
    return done.stdout, done.stderr.decode(errors="replace")
