"""ONNX operators computed by the engine's ops over images, norms and sequences.

ONNX has the channels first, the engine last; NumPy transposes between them. Borders that differ on
the two sides are padded before, which leaves the engine's window without a border of its own.
"""

from typing import Any

import numpy as np
from onnx_ops import Machine, Nd, Op, Outputs, Unsupported

from agentd.engine.backend import Window
from agentd.engine.layers import Lstm, Rnn
from agentd.engine.network import Network, Pass


def _geometry(x: Nd, kernel: list[int], o: dict[str, Any]) -> tuple[Nd, list[int], list[int]]:
    """Return x (B, H, W, C) of one or two dimensions, strides, and pads (before, after each)."""
    dims = x.ndim - 2
    if dims > 2:
        raise Unsupported("three dimensions: the engine's windows have two")
    if any(d != 1 for d in o.get("dilations") or []):
        raise Unsupported("a dilated window")
    strides = list(o.get("strides") or [1] * dims)
    pads = list(o.get("pads") or [0] * 2 * dims)
    auto = o.get("auto_pad") or "NOTSET"
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for d, (n, k, s) in enumerate(zip(x.shape[2:], kernel, strides, strict=True)):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            small = total // 2
            ends = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
            pads[d], pads[d + dims] = ends
    if dims == 1:
        x, strides, pads = x[:, :, None], [1, *strides], [0, pads[0], 0, pads[1]]
    return x.transpose(0, 2, 3, 1), strides, pads


def _pad(x: Nd, pads: list[int], border: float) -> Nd:
    edges = ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0))
    return np.pad(x, edges, constant_values=border)


def _two(kernel: list[int]) -> tuple[int, int]:
    return (1, kernel[0]) if len(kernel) == 1 else (kernel[0], kernel[1])


def _window(x: Nd, kernel: list[int], strides: list[int], pads: list[int]) -> Window:
    height, width, channels = x.shape[1:]
    step = (strides[0], strides[1])
    return Window(height, width, channels, _two(kernel), step, (pads[0], pads[1]))


def _first(y: Nd, dims: int) -> Nd:
    """Return (B, H, W, C) with the channels first, in ``dims`` dimensions."""
    y = y.transpose(0, 3, 1, 2)
    return y[:, :, 0] if dims == 1 else y


def conv(m: Machine, x: Nd, w: Nd, b: Nd | None = None, **o: Any) -> Outputs:
    dims, groups, kernel = x.ndim - 2, o.get("group") or 1, list(w.shape[2:])
    image, strides, pads = _geometry(x, kernel, o)
    if pads[:2] != pads[2:]:
        image, pads = _pad(image, pads, 0.0), [0] * 4
    filters = w.transpose(*range(2, w.ndim), 1, 0)
    parts = []
    for g in range(groups):
        one = np.split(image, groups, -1)[g]
        window = _window(one, kernel, strides, pads)
        if window.out_height < 1 or window.out_width < 1:
            raise Unsupported("a kernel larger than the image")
        shape = (len(one), window.out_height, window.out_width)
        matrix = np.split(filters, groups, -1)[g].reshape(window.taps, -1)
        bias = None if b is None else m.arr(np.split(b, groups)[g])
        given = (m.arr(one), m.arr(matrix), bias, window)
        size = (int(np.prod(shape)), matrix.shape[1])
        flat = m.run(size, lambda y, given=given: m.be.conv(*given, y))
        parts.append(flat.reshape(*shape, -1))
    return (_first(np.concatenate(parts, -1), dims),)


def conv_transpose(m: Machine, x: Nd, w: Nd, b: Nd | None = None, **o: Any) -> Outputs:
    """The convolution's own backward: a matrix product and col2im."""
    dims, kernel = x.ndim - 2, list(w.shape[2:])
    if o.get("output_shape") is not None or (o.get("auto_pad") or "NOTSET") != "NOTSET":
        raise Unsupported("an output shape from which the borders follow")
    if (o.get("group") or 1) != 1:
        raise Unsupported("groups of channels in a transposed convolution")
    image, strides, pads = _geometry(x, kernel, o)
    if pads[:2] != pads[2:]:
        raise Unsupported("borders that differ on the two sides")
    extra = list(o.get("output_padding") or [0] * dims)
    extra = [0, *extra] if dims == 1 else extra
    size = [
        (n - 1) * s + k + e - 2 * p
        for n, s, k, e, p in zip(
            image.shape[1:3], strides, _two(kernel), extra, pads[:2], strict=True
        )
    ]
    out = (len(image), *size, w.shape[1])
    window = _window(np.empty(out), kernel, strides, pads)
    matrix = w.transpose(0, *range(2, w.ndim), 1).reshape(len(w), -1)
    columns = m.arr(m.matmul(image.reshape(-1, image.shape[-1]), matrix))
    y = m.run(out, lambda y: m.be.col2im(columns, window, y))
    return (_first(y if b is None else m.plus(y, b), dims),)


def _ceil(image: Nd, kernel: list[int], strides: list[int], pads: list[int]) -> list[int]:
    """Return pads that let the last window begin inside and end outside."""
    wide = list(pads)
    for d, k in enumerate(_two(kernel)):
        n, s = image.shape[1 + d], strides[d]
        out = -(-(n + pads[d] + pads[d + 2] - k) // s) + 1
        out -= (out - 1) * s >= n + pads[d]
        wide[d + 2] = max(pads[d + 2], (out - 1) * s + k - n - pads[d])
    return wide


def max_pool(m: Machine, x: Nd, outputs: int = 1, **o: Any) -> Outputs:
    dims, kernel = x.ndim - 2, list(o["kernel_shape"])
    image, strides, pads = _geometry(x, kernel, o)
    pads = _ceil(image, kernel, strides, pads) if o.get("ceil_mode") else pads
    padded, inner = image, pads
    if pads[:2] != pads[2:]:
        padded, inner = _pad(image, pads, -np.inf), [0] * 4
    window = _window(padded, kernel, strides, inner)
    shape = (len(x), window.out_height, window.out_width, x.shape[1])
    y, chosen = m.be.zeros(shape), m.be.zeros(shape, "int32")
    m.be.max_pool(m.arr(padded), window, y, chosen)()
    best = _first(m.be.to_host(y), dims)
    if outputs == 1:
        return (best,)
    tap = m.be.to_host(chosen).astype(np.int64)
    i, j = np.arange(shape[1])[:, None, None], np.arange(shape[2])[:, None]
    row = i * strides[0] - pads[0] + tap // window.kernel[1]
    column = j * strides[1] - pads[1] + tap % window.kernel[1]
    height, width = image.shape[1:3]
    place = column * height + row if o.get("storage_order") else row * width + column
    plane = np.arange(len(x))[:, None, None, None] * x.shape[1] + np.arange(x.shape[1])
    return best, _first(plane * height * width + place, dims)


def average_pool(m: Machine, x: Nd, **o: Any) -> Outputs:
    dims, kernel = x.ndim - 2, list(o["kernel_shape"])
    image, strides, pads = _geometry(x, kernel, o)
    if o.get("ceil_mode"):
        raise Unsupported("ceil_mode of a mean: windows that end outside")
    if o.get("count_include_pad"):
        image, pads = _pad(image, pads, 0.0), [0] * 4
    if pads[:2] != pads[2:]:
        raise Unsupported("borders that differ on the two sides and are not counted")
    window = _window(image, kernel, strides, pads)
    shape = (len(x), window.out_height, window.out_width, x.shape[1])
    return (_first(m.run(shape, lambda y: m.be.avg_pool(m.arr(image), window, y)), dims),)


def whole(pool: Op) -> Op:
    """Return a pool over the whole image."""

    def op(m: Machine, x: Nd, **_: Any) -> Outputs:
        return pool(m, x, kernel_shape=list(x.shape[2:]))

    return op


def _layer_norm(m: Machine, x: Nd, gain: Nd, bias: Nd, eps: float) -> tuple[Nd, Nd]:
    """Return y and the scale of rows (R, D)."""
    y, norm, scale = m.be.zeros(x.shape), m.be.zeros(x.shape), m.be.zeros((len(x),))
    m.be.layer_norm(m.arr(x), m.arr(gain), m.arr(bias), eps, y, norm, scale)()
    return m.be.to_host(y), m.be.to_host(scale)


def layer_norm(
    m: Machine, x: Nd, gain: Nd, bias: Nd | None = None, outputs: int = 1, **o: Any
) -> Outputs:
    axis = o["axis"] % x.ndim
    rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
    shift = np.zeros_like(gain) if bias is None else bias
    y, scale = _layer_norm(m, rows, gain.reshape(-1), shift.reshape(-1), o["epsilon"])
    shape = (*x.shape[:axis], *(1 for _ in x.shape[axis:]))
    middle = m.scale(m.sum_rows(rows.T), 1 / rows.shape[1])
    return (y.reshape(x.shape), middle.reshape(shape), scale.reshape(shape))[:outputs]


def _plain(m: Machine, rows: Nd, eps: float) -> Nd:
    width, kind = rows.shape[1], rows.dtype
    return _layer_norm(m, rows, np.ones(width, kind), np.zeros(width, kind), eps)[0]


def group_norm(m: Machine, x: Nd, gain: Nd, bias: Nd, **o: Any) -> Outputs:
    """Rows are the groups of each image; the gain and bias of channels come after."""
    groups = o.get("num_groups") or x.shape[1]
    y = _plain(m, x.reshape(len(x) * groups, -1), o["epsilon"]).reshape(x.shape)
    shape = (-1, *(1 for _ in x.shape[2:]))
    return (m.plus(m.times(y, gain.reshape(shape)), bias.reshape(shape)),)


def mean_variance(m: Machine, x: Nd, axes: list[int] | None = None, **_: Any) -> Outputs:
    gone = list(axes or [0, 2, 3])
    order = [a for a in range(x.ndim) if a not in gone] + gone
    moved = x.transpose(order)
    kept = int(np.prod(moved.shape[: x.ndim - len(gone)]))
    y = _plain(m, moved.reshape(kept, -1), 0.0).reshape(moved.shape)
    return (y.transpose(np.argsort(order)),)


def batch_norm(m: Machine, x: Nd, *given: Nd, **o: Any) -> Outputs:
    if o.get("training_mode"):
        raise Unsupported("a running variance that is the biased one; the engine's is unbiased")
    moved = np.moveaxis(x, 1, -1)
    rows = moved.reshape(-1, x.shape[1])
    gain, bias, mean, variance = (m.arr(a) for a in given)
    y = m.run(
        rows.shape,
        lambda y: m.be.batch_norm_apply(m.arr(rows), gain, bias, mean, variance, o["epsilon"], y),
    )
    return (np.moveaxis(y.reshape(moved.shape), -1, 1),)


def recurrent(kind: type[Rnn] | type[Lstm]) -> Op:
    def op(m: Machine, x: Nd, w: Nd, r: Nd, *rest: Nd | None, **o: Any) -> Outputs:
        bias, lengths, *states = (*rest, *[None] * (5 - len(rest)))
        if states[-1] is not None:
            raise Unsupported("peepholes")
        if any(s is not None and s.any() for s in states[:2]):
            raise Unsupported("a first state other than 0")
        steps = x.shape[1] if o.get("layout") else len(x)
        if lengths is not None and (lengths != steps).any():
            raise Unsupported("sequences of different lengths in a batch")
        batch_first = x if o.get("layout") else x.swapaxes(0, 1)
        heads = []
        for d in range(len(w)):
            back = o["direction"] == "reverse" or d == 1
            b = None if bias is None else bias[d]
            y = _walk(m, kind, batch_first[:, ::-1] if back else batch_first, w[d], r[d], b)
            heads.append(y[:, ::-1] if back else y)
        y = np.stack(heads, 1)  # (B, dirs, T, H)
        backward = [o["direction"] == "reverse" or d == 1 for d in range(len(w))]
        last = np.stack([y[:, d, 0 if b else -1] for d, b in enumerate(backward)], 1)
        if o.get("layout"):
            return (y.transpose(0, 2, 1, 3), last)[: o["outputs"]]
        return (y.transpose(2, 1, 0, 3), last.swapaxes(0, 1))[: o["outputs"]]

    return op


def _walk(m: Machine, kind: Any, x: Nd, w: Nd, r: Nd, b: Nd | None) -> Nd:
    """Return the layer's whole sequence for x (B, T, D); gates lie as i, o, f, c in ONNX."""
    units = r.shape[1]
    net = Network(kind(units, sequence=True), input_shape=x.shape[1:])
    order = [0] if kind is Rnn else [0, 2, 1, 3]
    bias = np.zeros(2 * len(w), x.dtype) if b is None else b
    total = m.plus(bias[: len(w)], bias[len(w) :])

    def place(a: Nd) -> Nd:
        return np.concatenate([np.split(a, len(order))[g] for g in order]).T

    p = np.concatenate([place(a).ravel() for a in (w, r, total)])
    return m.be.to_host(Pass(net, m.be, len(x)).forward(m.arr(p), m.arr(x))).copy()


OPS: dict[str, Op] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalMaxPool": whole(max_pool),
    "GlobalAveragePool": whole(average_pool),
    "LayerNormalization": layer_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": group_norm,
    "MeanVarianceNormalization": mean_variance,
    "BatchNormalization": batch_norm,
    "RNN": recurrent(Rnn),
    "LSTM": recurrent(Lstm),
}
