"""Exported policies choose as the engine does: in ONNX, C, JavaScript and Godot, float and int8."""

import ctypes
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from agentd.assembly.actions import codec_of
from agentd.export.cfile import c_file
from agentd.export.onnxfile import onnx_file
from agentd.export.probe import Agreement, played_of
from agentd.export.run import build_c, run_c, run_gdscript, run_js, run_onnx, tool
from agentd.export.script import gdscript_file, js_file

from . import nets

STATES = 200


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


needs_onnx = pytest.mark.skipif(not nets.has_onnx(), reason="onnx is not installed")


@pytest.fixture(scope="module")
def cases() -> list[nets.Case]:
    return [*(nets.net_case(name, STATES) for name in nets.NETS), *nets.preset_cases(STATES)]


def show(name: str, found: dict[str, Agreement]) -> str:
    parts = [f"{form} {a.share:.4%} {a.worst:.1e}" for form, a in found.items()]
    return f"{name}: {', '.join(parts)}"


def few(cases: list[nets.Case]) -> list[nets.Case]:
    """Every net, and of the presets' two: the others are made of the same layers."""
    names = {*nets.NETS, "cartpole_stream", "catch"}
    return [case for case in cases if case.policy.name in names]


@needs("gcc")
def test_c_chooses_as_the_engine(cases: list[nets.Case], tmp_path: Path) -> None:
    policies = [case.policy for case in few(cases)]
    program = build_c(policies, [c_file(policy) for policy in policies], tmp_path)
    for case in few(cases):
        found = run_c(program, case.policy, case.probe)
        assert found.holds(small=False), show(case.policy.name, {"c": found})


@needs("node")
def test_javascript_chooses_as_the_engine(cases: list[nets.Case], tmp_path: Path) -> None:
    for case in few(cases):
        found = run_js(case.policy, js_file(case.policy), case.probe, tmp_path)
        assert found.holds(small=False), show(case.policy.name, {"js": found})


NUMBERS_C = """
#include "agent.h"
void numbers(const int *action, float *out) { NAME_numbers(action, out); }
"""
NUMBERS_JS = """
import { Policy } from "./agent.mjs";
const policy = new Policy();
console.log(JSON.stringify(ACTIONS.map((a) => policy.numbers(a.length === 1 ? a[0] : a))));
"""


@pytest.mark.parametrize("name", ["joint", "decoupled"])
def test_exported_actions_stand_for_the_same_numbers(name: str, tmp_path: Path) -> None:
    case = nets.net_case(name, STATES)
    codec, policy, probe = codec_of(case.config, case.schema), case.policy, case.probe
    expected = codec.encode(probe.action)
    checked = []
    if shutil.which("gcc"):
        (tmp_path / "agent.h").write_bytes(c_file(policy))
        (tmp_path / "agent.c").write_text(NUMBERS_C.replace("NAME", policy.name))
        library = tmp_path / "agent.so"
        words = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
        subprocess.run(
            ["gcc", "-std=c99", *words, "-o", library, tmp_path / "agent.c", "-lm"], check=True
        )
        numbers, found = ctypes.CDLL(str(library)).numbers, np.empty_like(expected)
        for row in range(len(found)):
            action = np.ascontiguousarray(probe.action[row])
            numbers(
                action.ctypes.data_as(ctypes.c_void_p), found[row].ctypes.data_as(ctypes.c_void_p)
            )
        checked.append(found)
    if shutil.which("node"):
        (tmp_path / "agent.mjs").write_bytes(js_file(policy))
        script = NUMBERS_JS.replace("ACTIONS", json.dumps(probe.action.tolist()))
        (tmp_path / "ask.mjs").write_text(script)
        done = subprocess.run(["node", tmp_path / "ask.mjs"], capture_output=True, check=True)
        checked.append(np.array(json.loads(done.stdout), np.float32))
    if nets.has_onnx():
        import onnx
        from onnx.reference import ReferenceEvaluator

        run = ReferenceEvaluator(onnx.load_from_string(onnx_file(policy))).run
        given = {"obs": probe.rows, "mask": probe.mask}
        if policy.last_actions:
            before = played_of(probe.first, probe.played, policy.last_actions)
            given["last_actions"] = before.astype(np.int64)
        checked.append(run(["numbers"], given)[0])
    if not checked:
        pytest.skip("gcc, node and onnx are not installed")
    for found in checked:
        np.testing.assert_array_equal(found, expected)


@needs_onnx
def test_onnx_chooses_as_the_engine(cases: list[nets.Case]) -> None:
    for case in cases:
        found = run_onnx(case.policy, onnx_file(case.policy), case.probe)
        assert found.holds(small=False), show(case.policy.name, {"onnx": found})


@needs("godot3-server")
@pytest.mark.parametrize("name", ["c51", "stacked"])
def test_gdscript_chooses_as_the_engine(name: str, tmp_path: Path) -> None:
    case = nets.net_case(name, 100)
    for policy in (case.policy, case.small):
        found = run_gdscript(policy, gdscript_file(policy), case.probe, tmp_path)
        assert found.worst < (0.05 if policy is not case.policy else 1e-5)
        assert found.share > 0.95


@needs("gcc")
def test_int8_is_nearly_the_same_in_every_language(tmp_path: Path) -> None:
    all_cases = [nets.net_case(name, STATES) for name in ("plain", "convolution", "lookup")]
    policies = [case.small for case in all_cases]
    program = build_c(policies, [c_file(policy) for policy in policies], tmp_path)
    for case, policy in zip(all_cases, policies, strict=True):
        found = {"c": run_c(program, policy, case.probe)}
        if nets.has_onnx():
            found["onnx"] = run_onnx(policy, onnx_file(policy), case.probe)
        if shutil.which("node"):
            found["js"] = run_js(policy, js_file(policy), case.probe, tmp_path)
        for agreement in found.values():
            assert agreement.holds(small=True), show(policy.name, found)
            assert abs(agreement.worst - found["c"].worst) < 1e-5  # the same weights, all in float
        assert 2.2 < case.policy.weight_bytes / policy.weight_bytes < 4


@pytest.mark.long
@pytest.mark.timeout(3600)
@needs_onnx
def test_ten_thousand_states_of_every_preset_and_net(tmp_path: Path) -> None:
    states, lines, bad = 10_000, [], []
    cases = [*(nets.net_case(name, states) for name in nets.NETS), *nets.preset_cases(states)]
    for small in (False, True):
        policies = [c.small if small else c.policy for c in cases]
        program = build_c(policies, [c_file(policy) for policy in policies], tmp_path)
        for policy, case in zip(policies, cases, strict=True):
            found = {
                "c": run_c(program, policy, case.probe),
                "js": run_js(policy, js_file(policy), case.probe, tmp_path),
                "onnx": run_onnx(policy, onnx_file(policy), case.probe),
            }
            lines.append(f"{'int8' if small else 'float'} {show(policy.name, found)}")
            if not all(each.holds(small) for each in found.values()):
                bad.append(lines[-1])
    print("\n".join(lines))
    assert not bad


@needs("gcc")
def test_headers_are_clean_alone_and_together(tmp_path: Path) -> None:
    """Two headers in one file, one in a file that calls nothing of it, and one as C++."""
    for name in ("plain", "planes"):
        (tmp_path / f"{name}.h").write_bytes(c_file(nets.net_case(name, 10).policy))
    source = tmp_path / "both.c"
    source.write_text('#include "plain.h"\n#include "planes.h"\nint unused;\n')
    strict = [
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Werror",
        "-O2",
        "-c",
        "-o",
        "/dev/null",
    ]
    subprocess.run([tool("gcc"), *strict, str(source)], check=True)
    text = source.read_text() + (tmp_path / "plain.h").read_text()
    assert "malloc" not in text.replace("without malloc", "")
    if shutil.which("g++"):
        source.rename(tmp_path / "both.cc")
        words = ["g++", "-Wall", "-Wextra", "-pedantic", "-Werror", "-c", "-o", "/dev/null"]
        subprocess.run([*words, str(tmp_path / "both.cc")], check=True)


@needs("node")
def test_javascript_takes_tensors_by_name_and_names_what_is_wrong(tmp_path: Path) -> None:
    case = nets.net_case("dueling", 10)
    (tmp_path / "policy.mjs").write_bytes(js_file(case.policy))
    row = case.probe.rows[0]
    script = f"""
      import {{ Policy, facts }} from "./policy.mjs";
      const policy = new Policy(), row = {json.dumps(row.tolist())};
      const all = policy.act(row);
      policy.reset();
      const named = policy.act({{far: row.slice(0, 6), near: row.slice(6, 10), side: row[10]}});
      let said = "";
      try {{ policy.act([1, 2]); }} catch (fault) {{ said = fault.message; }}
      console.log(JSON.stringify([all, named, said, facts]));
    """
    (tmp_path / "main.mjs").write_text(script)
    done = subprocess.run(["node", "main.mjs"], cwd=tmp_path, capture_output=True, check=True)
    chosen, named, said, facts = json.loads(done.stdout)
    q = case.probe.q[0]
    assert chosen == named == [int(part.argmax()) for part in np.split(q, [3, 5])]
    assert said == "observation: want 11 numbers, got 2"
    assert facts["observation"] == case.schema.to_wire()["observation"]
    assert "Apache" in facts["licence"]
