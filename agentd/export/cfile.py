"""A policy as one C header: C99, no malloc, nothing to link but libm where a layer needs it."""

import json
import re
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd import __version__
from agentd.export.feed import feed_lines
from agentd.export.graph import PolicyGraph
from agentd.export.program import IN_PLACE, Instruction, Program, lower

_NEEDS = {
    "dense": ("rows", "dense"),
    "lookup": ("rows", "lookup"),
    "conv": ("rows", "window", "conv"),
    "max_pool": ("window", "pool"),
    "avg_pool": ("window", "pool"),
    "keep": (),
}
_MATH = {"sigmoid", "tanh", "softplus", "gelu", "exp", "norm", "expect"}
_STRUCT = """\
typedef struct {{
    float rows[{rows}];  /* the last rows, oldest first */
    int played[{played}]; /* the last actions, oldest first; -1 is none */
    int begun;           /* 0: the next row is an episode's first */
    float {answer}[{outputs}]; /* what the last act found */
    float x[2][{buffer}]; /* scratch */
{aside}}} {name}_policy;
"""
_BODY = """\
/* Begin an episode. */
static inline void {name}_reset({name}_policy *p)
{{
    int i;
    p->begun = 0;
    for (i = 0; i < {played}; i++)
        p->played[i] = -1;
}}

/* Take in a row of {row} numbers; leave what the network says of it in p->{answer}. */
static inline void {name}_values({name}_policy *p, const float *obs)
{{
    int at = 0, i, k, place;
    if (p->begun)
        memmove(p->rows, p->rows + {row}, {older} * sizeof *p->rows);
    for (k = p->begun ? {stack} - 1 : 0; k < {stack}; k++)
        memcpy(p->rows + k * {row}, obs, {row} * sizeof *obs);
    p->begun = 1;
    for (place = 0; place < {places}; place++) {{
        for (k = 0; k < {stack}; k++)
            for (i = 0; i < {channels}; i++)
                p->x[0][at++] = p->rows[k * {row} + place * {channels} + i];
{actions}    }}
{calls}    memcpy(p->{answer}, p->x[{last}], {outputs} * sizeof *p->{answer});
}}
"""
_ACTIONS = """\
        for (k = 0; k < {last_actions}; k++) {{
            int branch, number;
            for (branch = 0; branch < {branches}; branch++)
                for (number = 0; number < {name}_branches[branch]; number++)
                    p->x[0][at++] = p->played[k * {branches} + branch] == number ? 1.0f : 0.0f;
        }}
"""
_ACT = """
/* Say what was played after the last row where that was another action. */
static inline void {name}_played({name}_policy *p, const int *action)
{{
    int i;
    for (i = 0; i < {branches}; i++)
        p->played[{newest} + i] = action[i];
}}

/* The best legal action of each branch for a row of {row} numbers; returns the first branch's.
   mask: {outputs} bytes, 1 = legal, or NULL; action: where {branches} of them go, or NULL. */
static inline int {name}_act({name}_policy *p, const float *obs, const unsigned char *mask,
                             int *action)
{{
    int at = 0, b, i, best[{branches}];
    {name}_values(p, obs);
    for (b = 0; b < {branches}; b++) {{
        best[b] = -1;
        for (i = 0; i < {name}_branches[b]; i++, at++)
            if (!mask || mask[at])
                if (best[b] < 0 || p->{answer}[at] > p->{answer}[at - i + best[b]])
                    best[b] = i;
        if (best[b] < 0)
            best[b] = 0;
        if (action)
            action[b] = best[b];
    }}
    memmove(p->played, p->played + {branches}, {newest} * sizeof *p->played);
    {name}_played(p, best);
    return best[0];
}}
"""
_NUMBERS = """
/* The {heads} numbers that an action of {name}_act stands for, as the game takes them. */
static inline void {name}_numbers(const int *action, float *numbers)
{{
    static const float of[] = {table};
    int i{start};
    for (i = 0; i < {heads}; i++{step})
        numbers[i] = of[{place}];
}}
"""


def c_file(policy: PolicyGraph) -> bytes:
    """Return the header."""
    program, guard = lower(policy), f"AGENTD_{policy.name.upper()}_H"
    numbers = _numbers(policy, program)
    parts = [_head(policy), f"#ifndef {guard}\n#define {guard}\n\n#include <string.h>\n"]
    sections = _sections(program)
    if set().union(*sections.values()) & _MATH:
        parts.append("#include <math.h>\n")
    parts += ['\n#ifdef __cplusplus\nextern "C" {\n#endif\n\n', _arrays(policy, program)]
    parts += [_layers(policy.name, sections), "\n", _STRUCT.format(**numbers), "\n"]
    parts.append(_BODY.format(**numbers))
    if policy.branches:
        parts.append(_ACT.format(**numbers))
    if policy.numbers:
        parts.append(_numbers_of(policy))
    parts.append("\n#ifdef __cplusplus\n}\n#endif\n#endif\n")
    return "".join(parts).encode()


def _head(policy: PolicyGraph) -> str:
    facts = json.dumps(policy.facts, indent=1, sort_keys=True).replace("*/", "* /")
    name = policy.name
    use = f"{name}_policy p; {name}_reset(&p); action = {name}_act(&p, obs, NULL, NULL);"
    lines = [
        f"A policy by agentd {__version__}: C99 without malloc; sqrtf, expf, tanhf need -lm.",
        "",
        f"    {use}" if policy.branches else f"    {name}_values(&p, obs); /* p.{policy.answer} */",
        "",
        *feed_lines(policy),
        "",
        facts,
    ]
    text = "\n".join(lines).replace("/* p.", "p.").replace(" */\n", "\n")
    return "/*\n" + text + "\n*/\n"


def _numbers(policy: PolicyGraph, program: Program) -> dict[str, Any]:
    branches = max(1, len(policy.branches))
    kept = "".join(
        f"    float aside{i}[{size}]; /* scratch */\n" for i, size in enumerate(program.aside)
    )
    calls, last = _calls(policy.name, program)
    numbers = {
        "name": policy.name,
        "answer": policy.answer,
        "row": policy.row,
        "stack": policy.stack,
        "older": (policy.stack - 1) * policy.row,
        "rows": policy.stack * policy.row,
        "places": policy.places,
        "channels": policy.row // policy.places,
        "outputs": policy.outputs,
        "branches": branches,
        "last_actions": policy.last_actions,
        "played": max(1, policy.last_actions) * branches,
        "newest": (max(1, policy.last_actions) - 1) * branches,
        "buffer": program.buffer,
        "aside": kept,
        "calls": calls,
        "last": last,
    }
    return numbers | {"actions": _ACTIONS.format(**numbers) if policy.last_actions else ""}


def _numbers_of(policy: PolicyGraph) -> str:
    """Return the function that turns actions into numbers."""
    heads, name, one = policy.heads, policy.name, len(policy.branches) == 1
    flat = np.array([number for row in policy.numbers for number in row], np.float32)
    step = "" if one else f", at += {name}_branches[i - 1]"
    place = f"action[0] * {heads} + i" if one else "at + action[i]"
    table, start = _braces(_float_words(flat)), "" if one else ", at = 0"
    return _NUMBERS.format(name=name, heads=heads, table=table, start=start, step=step, place=place)


def _arrays(policy: PolicyGraph, program: Program) -> str:
    name = policy.name
    text = f"static const float {name}_floats[{program.floats.size}] = "
    text += _braces(_float_words(program.floats)) + ";\n"
    if program.small:
        text += f"static const signed char {name}_ints[{program.ints.size}] = "
        text += _braces([str(n) for n in program.ints.tolist()]) + ";\n"
    merges = [i for i in program.instructions if i["op"] == "merge"]
    branches = policy.branches or (merges[0]["branches"] if merges else ())
    if branches:
        sizes = ", ".join(map(str, branches))
        text += f"static const int {name}_branches[{len(branches)}] = {{{sizes}}};\n"
    return text + "\n"


def _float_words(values: NDArray[np.float32]) -> list[str]:
    """Shortest decimal numbers that are these float32 again."""
    return [f"{word}f" for word in values.astype("U32").tolist()]


def _braces(words: list[str]) -> str:
    lines = [", ".join(words[i : i + 12]) for i in range(0, len(words), 12)]
    return "{\n    " + ",\n    ".join(lines) + "}"


def _sections(program: Program) -> dict[str, set[str]]:
    """Return the sections that are needed, by the type of the weights."""
    found: dict[str, set[str]] = {"float": set(), "signed char": set()}
    for each in program.instructions:
        kind = "signed char" if each.get("scale", -1) >= 0 and "w" in each else "float"
        match each["op"]:
            case "act":
                found[kind].add("relu" if each["act"] == "leaky_relu" else each["act"])
            case "expect":
                found[kind].add("mean" if each["returns"] < 0 else "expect")
            case op:
                found[kind].update(_NEEDS.get(op, (op,)))
    return found


def _layers(name: str, wanted: dict[str, set[str]]) -> str:
    text = (resources.files("agentd.export") / "runtime" / "layers.c").read_text(encoding="utf-8")
    parts = re.split(r"^/\* == (\w+) == \*/\n", text, flags=re.MULTILINE)[1:]
    pairs, made = list(zip(parts[::2], parts[1::2], strict=True)), []
    for weight, prefix in (("float", name), ("signed char", f"{name}_small")):
        bodies = [body for key, body in pairs if key in wanted[weight]]
        made += [body.replace("PREFIX", prefix).replace("WEIGHT", weight) for body in bodies]
    return "\n".join(made)


def _calls(name: str, program: Program) -> tuple[str, int]:
    """Return the statements of all instructions, and which buffer the last one wrote."""
    lines, now = [], 0
    for number, each in enumerate(program.instructions):
        source, target = f"p->x[{now}]", f"p->x[{1 - now}]"
        if each["op"] in IN_PLACE:
            lines.append(_in_place(name, each, source))
            continue
        lines += _from_to(name, each, number, source, target)
        now = 1 - now
    return "".join(f"    {line}\n" for line in lines), now


def _in_place(name: str, each: Instruction, x: str) -> str:
    floats, size = f"{name}_floats", each["out"]
    match each["op"]:
        case "act":
            act = "relu" if each["act"] == "leaky_relu" else each["act"]
            return f"{name}_{act}({x}, {size}, {_word(each['slope'])});"
        case "rescale":
            parts = ", ".join(f"{floats} + {each[k]}" for k in ("shift", "scale", "bias"))
            return f"{name}_rescale({x}, {size}, {each['n']}, {parts}, {_word(each['limit'])});"
        case "norm":
            parts = f"{floats} + {each['gain']}, {floats} + {each['bias']}"
            return f"{name}_norm({x}, {size}, {each['n']}, {parts}, {_word(each['eps'])});"
        case "keep":
            return f"memcpy(p->aside{each['at']}, {x}, {size} * sizeof *p->aside{each['at']});"
    return f"{name}_plus({x}, {size}, p->aside{each['at']});"


def _from_to(name: str, each: Instruction, number: int, x: str, y: str) -> list[str]:
    floats = f"{name}_floats"
    match each["op"]:
        case "dense" | "lookup" | "conv":
            small = each["scale"] >= 0
            source, prefix = (f"{name}_ints", f"{name}_small") if small else (floats, name)
            scale, bias = (
                "NULL" if each[k] < 0 else f"{floats} + {each[k]}" for k in ("scale", "b")
            )
            weights = f"{source} + {each['w']}, {scale}, {bias}"
            if each["op"] == "conv":
                call = f"{prefix}_conv({x}, &g{number}, {each['channels']}, {weights}, {y});"
                return [_window(prefix, each, number, call)]
            return [f"{prefix}_{each['op']}({x}, {each['in']}, {each['out']}, {weights}, {y});"]
        case "max_pool" | "avg_pool":
            largest = int(each["op"] == "max_pool")
            call = f"{name}_pool({x}, &g{number}, {largest}, {y});"
            return [_window(name, each, number, call)]
        case "merge":
            count = len(each["branches"])
            return [f"{name}_merge({x}, {each['atoms']}, {name}_branches, {count}, {y});"]
    if each["returns"] < 0:
        return [f"{name}_mean({x}, {each['atoms']}, {each['out']}, {y});"]
    returns = f"{floats} + {each['returns']}"
    return [f"{name}_expect({x}, {each['atoms']}, {each['out']}, {returns}, {y});"]


def _window(name: str, each: Instruction, number: int, call: str) -> str:
    pairs = (f"{{{each[k][0]}, {each[k][1]}}}" for k in ("kernel", "stride", "padding"))
    sizes = f"{each['height']}, {each['width']}, {each['depth']}, {', '.join(pairs)}"
    made = f"{{{sizes}, {each['out_height']}, {each['out_width']}}}"
    return f"{{ static const {name}_window g{number} = {made}; {call} }}"


def _word(value: float) -> str:
    return f"{np.float32(value)!s}f"
