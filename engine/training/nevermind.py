"""Reading nevermind-neu's own files: its net.cfg and optim.cfg, as a training run of ours.

    ls:                                         type: {String: adam}
      - name: InputLayer                        learning_rate: {Float: 0.001}
        params: {size: {Int: 784}}
      - name: FcLayer
        params: {size: {Int: 128}, activation: {String: relu}}
      - name: SoftmaxLossLayer
        params: {size: {Int: 10}}
    mdl_type: mdl_sequential_cpu
    batch_size: 32

Every value is a mapping with its type as the key. The layers' OpenCL names mean the same here; the
loss layer is a dense layer and the loss. What optim.cfg leaves out, and an optim.cfg that is not
there, are nevermind-neu's; the document's notes say so. Its optimizers are read as the textbook
ones of the same name: it adds what we subtract, and its Adam has no bias correction.
"""

from pathlib import Path
from typing import Any, TypeAlias

from agentd.engine import strictyaml
from agentd.engine.strictyaml import Document, Mark

Where: TypeAlias = tuple[str | int, ...]

INPUT = ("InputLayer", "InputDataLayer")
DENSE = ("FcLayer", "HiddenLayer")
LOSSES = {
    "EuclideanLossLayer": "squared_error",
    "ErrorLayer": "squared_error",
    "SoftmaxLossLayer": "softmax_cross_entropy",
}
ACTIVATIONS = {
    "raw": "identity",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "leaky_relu": "leaky_relu",
}
DEFAULTS: dict[str, dict[str, float]] = {  # of nevermind-neu 0.2, but for adadelta, which is ours
    "sgd": {"learning_rate": 1e-2, "momentum": 0.8},
    "rmsprop": {"learning_rate": 1e-2, "alpha": 0.9, "theta": 1e-8},
    "adagrad": {"learning_rate": 1e-2, "theta": 1e-6},
    "adadelta": {"learning_rate": 1.0},
    "adam": {"learning_rate": 3e-4, "b1": 0.9, "b2": 0.99, "theta": 1e-8},
}
UNSAID = "rmsprop"
"""The optimizer of a network without optim.cfg."""
_NUMBERS = {"Int": (int,), "Float": (int, float), "String": (str,), "Bool": (bool,)}
_CONSTANTS = (  # their name, ours, and the optimizers that have it
    ("theta", "eps", "rmsprop", "adagrad", "adadelta", "adam"),
    ("alpha", "rho", "rmsprop", "adadelta"),
    ("b1", "b1", "adam"),
    ("b2", "b2", "adam"),
)
_LAYER_KEYS = ("size", "prev_size", "activation", "l1_regul", "l2_regul", "dropout")


def read_model_file(model: Path, optimizer: Path | None = None) -> Document:
    """Return a model file as a document of our own form, whichever of the two it is written in.

    ``optimizer`` is nevermind-neu's optim.cfg. Raises ConfigError, OSError.
    """
    document = strictyaml.parse(strictyaml.read_file(model), str(model))
    tree = document.value
    if isinstance(tree, dict) and ("ls" in tree or "layers_cfg" in tree):
        document = _translate_model(document)
        if optimizer is None:
            unsaid = Document({"type": {"String": UNSAID}}, str(model))
            document.value["optimizer"] = _translate_optimizer(unsaid, document)
    if optimizer is not None:
        if not isinstance(document.value, dict):
            return document
        rule = strictyaml.parse(strictyaml.read_file(optimizer), str(optimizer))
        document.value["optimizer"] = _translate_optimizer(rule, document)
        document.marks[("optimizer",)] = Mark(1, 1)
    return document


class _Translation:
    """A document of our form that grows, each part marked with the place it came from."""

    def __init__(self, source: Document) -> None:
        self.source = source
        self.target = Document({}, source.file, {(): Mark(1, 1)})

    def put(self, key: str, value: Any, at: Where) -> None:
        """Set a value; errors about it name the place ``at`` of the source."""
        self.target.value[key] = value
        self.target.marks[(key,)] = self.source.mark(at)

    def add_layer(self, layer: Any, at: Where) -> None:
        """Append a layer."""
        layers = self.target.value.setdefault("layers", [])
        self.target.marks[("layers", len(layers))] = self.source.mark(at)
        layers.append(layer)


def _translate_model(source: Document) -> Document:
    tree = source.value
    key = "ls" if "ls" in tree else "layers_cfg"
    known = ("ls", "layers_cfg", "mdl_type", "batch_size")
    _refuse_unknown(source, (), tree, known)
    if not isinstance(tree[key], list) or not tree[key]:
        raise source.error((key,), "wrong value", expected="a list of layers")
    out = _Translation(source)
    last = len(tree[key]) - 1
    for i, entry in enumerate(tree[key]):
        at = (key, i)
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise source.error(at, "wrong value", expected="a mapping with `name` and `params`")
        _refuse_unknown(source, at, entry, ("name", "params"))
        _translate_layer(out, at, entry, first=i == 0, last=i == last)
    if "batch_size" in tree:
        out.put("batch", tree["batch_size"], ("batch_size",))
    out.put("head", "none", (key,))
    return out.target


def _translate_layer(
    out: _Translation, at: Where, entry: dict[str, Any], *, first: bool, last: bool
) -> None:
    source = out.source
    name = entry["name"].removesuffix("Ocl")
    params = entry.get("params") or {}
    if not isinstance(params, dict):
        raise source.error((*at, "params"), "wrong value", expected="a mapping")
    _refuse_unknown(source, (*at, "params"), params, _LAYER_KEYS)
    names = (*INPUT, *DENSE, *LOSSES)
    if name not in names:
        raise source.error(
            (*at, "name"),
            f"no such layer `{entry['name']}`",
            expected=f"one of {', '.join(names)}",
            hint=strictyaml.suggest(name, names),
        )
    for wanted, kinds, where in ((first, INPUT, "first"), (last, tuple(LOSSES), "last")):
        if wanted != (name in kinds):
            raise source.error(
                (*at, "name"),
                f"the {where} layer and no other is the one of its kind",
                expected=f"{' or '.join(kinds)} {where}",
                got=f"{entry['name']} as layer {int(at[1]) + 1}",
            )
    size = _value(source, (*at, "params"), params, "size", "Int")
    if size is None:
        raise source.error((*at, "params"), "missing key `size`")
    if name in INPUT:
        out.put("input", size, (*at, "params", "size"))
        return
    _add_dense(out, at, params, size)
    if name in LOSSES:
        out.put("loss", {"name": LOSSES[name]}, (*at, "name"))


def _add_dense(out: _Translation, at: Where, params: dict[str, Any], size: int) -> None:
    """Append a dense layer with its penalties, activation and dropout."""
    source, here = out.source, (*at, "params")
    options: dict[str, Any] = {"units": size}
    for theirs, ours in (("l1_regul", "l1"), ("l2_regul", "l2")):
        if penalty := _value(source, here, params, theirs, "Float"):
            options[ours] = penalty
    out.add_layer({"dense": options}, (*here, "size"))
    activation = _value(source, here, params, "activation", "String") or "raw"
    if activation not in ACTIVATIONS:
        raise source.error(
            (*here, "activation"),
            f"no such activation `{activation}`",
            expected=f"one of {', '.join(ACTIVATIONS)}",
        )
    if activation != "raw":
        out.add_layer(ACTIVATIONS[activation], (*here, "activation"))
    if dropout := _value(source, here, params, "dropout", "Float"):
        out.add_layer({"dropout": dropout}, (*here, "dropout"))


def _translate_optimizer(source: Document, target: Document) -> dict[str, Any]:
    """Return optim.cfg as the mapping of our ``optimizer:``; note what it leaves open."""
    tree = source.value
    if not isinstance(tree, dict):
        raise source.error((), "wrong value", expected="a mapping with `type`")
    rates = ("learning_rate", "learn_rate", "lr")
    known = ("type", *rates, "momentum", "alpha", "theta", "b1", "b2", "lr_decay", "lr_step")
    _refuse_unknown(source, (), tree, known)
    name = _value(source, (), tree, "type", "String")
    if name not in DEFAULTS:
        raise source.error(
            ("type",) if "type" in tree else (),
            f"no such optimizer `{name}`" if name else "missing key `type`",
            expected=f"one of {', '.join(DEFAULTS)}",
        )
    found = {key: _value(source, (), tree, key, "Float") for key in known[1:]}
    found["learning_rate"] = next((found[key] for key in rates if found[key] is not None), None)
    unsaid = {key: value for key, value in DEFAULTS[name].items() if found[key] is None}
    found |= unsaid
    if unsaid:
        values = ", ".join(f"{key} {value:g}" for key, value in unsaid.items())
        what = f"no optim.cfg: {name}, " if source.file == target.file else "not said: "
        target.notes.append(f"{source.file}: {what}{values}, as nevermind-neu has it")
    options: dict[str, Any] = {"name": name, "lr": found["learning_rate"]}
    if name == "sgd" and found["momentum"]:
        options |= {"name": "momentum", "momentum": found["momentum"]}
    for key, option, *owners in _CONSTANTS:
        if found[key] is not None and name in owners:
            options[option] = found[key]
    if found["lr_decay"] is not None and found["lr_decay"] != 1:
        steps = int(found["lr_step"] or 1)
        options["schedule"] = {"name": "step", "decay": found["lr_decay"], "steps": steps}
    return options


def _value(source: Document, at: Where, params: dict[str, Any], key: str, kind: str) -> Any:
    """Return a value written as {Kind: value}, or None where the key is not there."""
    if key not in params:
        return None
    found = params[key]
    allowed = ("Int", "Float") if kind == "Float" else (kind,)
    if isinstance(found, dict) and len(found) == 1:
        name, value = next(iter(found.items()))
        is_bool = isinstance(value, bool)
        if name in allowed and isinstance(value, _NUMBERS[name]) and is_bool == (name == "Bool"):
            return value
    got = strictyaml.describe(found)
    if isinstance(found, dict):
        got = ", ".join(f"{{{k}: {strictyaml.describe(v)}}}" for k, v in list(found.items())[:2])
    wanted = " or ".join(f"{{{name}: ...}}" for name in allowed)
    raise source.error((*at, key), "wrong value", expected=wanted, got=got or "nothing")


def _refuse_unknown(
    source: Document, at: Where, found: dict[str, Any], known: tuple[str, ...]
) -> None:
    for key in found:
        if key not in known:
            raise source.unknown_key((*at, key), known)
