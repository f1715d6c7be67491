"""ONNX graphs as JAX functions: a table of ops, each a function of its inputs and attributes.

in:  a loaded ModelProto
out: function(weights, *inputs) -> list of outputs, to be given to jax.jit, and weights, a dict of arrays
law: what follows from constants and sizes alone is computed by NumPy while tracing, so that JAX sees static shapes;
     an op that is not in the table, or in a form that the table doesn't know, raises Unsupported
"""
import numpy as np
import onnx
import jax
import jax.numpy as jnp
from jax import lax
from onnx import numpy_helper

LARGE = 1024  # weights from this many elements on are arguments, smaller ones constants


class Unsupported(Exception):
    pass


def library(*values):
    """NumPy while all values are known, else jax.numpy."""
    return jnp if any(isinstance(v, jax.Array) for v in values) else np


def axes_of(inputs, attrs, at):
    """Axes are an input of newer ops, an attribute of older ones."""
    if len(inputs) > at and inputs[at] is not None:
        return tuple(int(a) for a in np.asarray(inputs[at]).reshape(-1))
    return tuple(attrs["axes"]) if "axes" in attrs else None


# ---- Elementwise -----------------------------------------------------------------------------


def unary(name):
    return lambda inputs, attrs: getattr(library(*inputs), name)(inputs[0])


def binary(name):
    def apply(inputs, attrs):
        result = inputs[0]
        for other in inputs[1:]:
            result = getattr(library(result, other), name)(result, other)
        return result

    return apply


def divide(inputs, attrs):
    a, b = inputs
    return lax.div(*jnp.broadcast_arrays(a, b)) if library(a, b) is jnp else (a // b if a.dtype.kind == "i" else a / b)


def cast(inputs, attrs):
    return inputs[0].astype(onnx.helper.tensor_dtype_to_np_dtype(attrs["to"]))


def clip(inputs, attrs):
    low = inputs[1] if len(inputs) > 1 else attrs.get("min")
    high = inputs[2] if len(inputs) > 2 else attrs.get("max")
    return jnp.clip(inputs[0], low, high)


def hard_sigmoid(inputs, attrs):
    return jnp.clip(inputs[0] * attrs.get("alpha", 0.2) + attrs.get("beta", 0.5), 0, 1)


# ---- Sizes and places ------------------------------------------------------------------------


def reshape(inputs, attrs):
    x, shape = inputs[0], [int(n) for n in inputs[1]]
    if not attrs.get("allowzero"):
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return x.reshape(shape)


def slice_(inputs, attrs):
    x = inputs[0]
    if len(inputs) > 1:
        starts, ends = inputs[1], inputs[2]
        axes = inputs[3] if len(inputs) > 3 and inputs[3] is not None else range(len(starts))
        steps = inputs[4] if len(inputs) > 4 else [1] * len(starts)
    else:
        starts, ends = attrs["starts"], attrs["ends"]
        axes, steps = attrs.get("axes", range(len(starts))), [1] * len(starts)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        last = None if step < 0 and end < -x.shape[axis] else int(end)
        index[int(axis)] = slice(int(start), last, int(step))
    return x[tuple(index)]


def squeeze(inputs, attrs):
    return inputs[0].squeeze(axes_of(inputs, attrs, 1))


def unsqueeze(inputs, attrs):
    return library(inputs[0]).expand_dims(inputs[0], axes_of(inputs, attrs, 1))


def concat(inputs, attrs):
    return library(*inputs).concatenate(inputs, axis=attrs["axis"])


def gather(inputs, attrs):
    x, at = inputs
    return library(x, at).take(x, at, axis=attrs.get("axis", 0), **({"mode": "wrap"} if library(x, at) is jnp else {}))


def gather_nd(inputs, attrs):
    x, at = inputs
    if attrs.get("batch_dims", 0):
        raise Unsupported("GatherND with batch_dims")
    return x[tuple(jnp.moveaxis(at, -1, 0))]


def gather_elements(inputs, attrs):
    return jnp.take_along_axis(inputs[0], inputs[1], axis=attrs.get("axis", 0))


def expand(inputs, attrs):
    x, shape = inputs[0], tuple(int(n) for n in inputs[1])
    return library(x).broadcast_to(x, np.broadcast_shapes(x.shape, shape))


def split(inputs, attrs):
    x, axis = inputs[0], attrs.get("axis", 0)
    sizes = inputs[1] if len(inputs) > 1 else attrs.get("split")
    if sizes is None:
        return library(x).split(x, attrs["n_outputs"], axis)
    return library(x).split(x, np.cumsum(np.asarray(sizes))[:-1], axis)


def pad(inputs, attrs):
    x, mode = inputs[0], attrs.get("mode", b"constant").decode()
    pads = [int(n) for n in (inputs[1] if len(inputs) > 1 else attrs["pads"])]
    pairs = list(zip(pads[: x.ndim], pads[x.ndim :]))
    value = inputs[2] if len(inputs) > 2 and inputs[2] is not None else attrs.get("value", 0)
    return jnp.pad(x, pairs, constant_values=value) if mode == "constant" else jnp.pad(x, pairs, mode=mode)


def constant_of_shape(inputs, attrs):
    value = numpy_helper.to_array(attrs["value"]) if "value" in attrs else np.zeros(1, np.float32)
    return np.full([int(n) for n in inputs[0]], value[0], value.dtype)


def constant(inputs, attrs):
    value = next(v for name, v in attrs.items() if name.startswith("value"))
    return numpy_helper.to_array(value) if "value" in attrs else np.asarray(value)


def resize(inputs, attrs):
    """Whole multiples, each element repeated."""
    scales = np.asarray(inputs[2 if attrs["opset"] > 10 else 1])
    usual = {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}
    if any(attrs.get(name) != value for name, value in usual.items()) or (scales != scales.round()).any():
        raise Unsupported("this form of Resize")
    x = inputs[0]
    for axis, n in enumerate(scales.astype(int)):
        x = jnp.repeat(x, n, axis) if n > 1 else x
    return x


def flatten(inputs, attrs):
    x, axis = inputs[0], attrs.get("axis", 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


# ---- Products and convolutions ---------------------------------------------------------------


def gemm(inputs, attrs):
    a, b = inputs[0], inputs[1]
    a = a.T if attrs.get("transA") else a
    b = b.T if attrs.get("transB") else b
    result = jnp.matmul(a, b) * attrs.get("alpha", 1.0)
    return result + inputs[2] * attrs.get("beta", 1.0) if len(inputs) > 2 else result


def padding_of(attrs, x, window, strides, dilations):
    """Pairs of paddings, of whichever form the node has."""
    auto = attrs.get("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", "VALID"):
        pads = attrs.get("pads", [0] * 2 * len(window))
        return list(zip(pads[: len(window)], pads[len(window) :]))
    pairs = []
    for size, k, stride, dilation in zip(x.shape[2:], window, strides, dilations):
        total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return pairs


def conv(inputs, attrs):
    x, w = inputs[0], inputs[1]
    n = x.ndim - 2
    strides, dilations = attrs.get("strides", [1] * n), attrs.get("dilations", [1] * n)
    pads = padding_of(attrs, x, w.shape[2:], strides, dilations)
    result = lax.conv_general_dilated(x, w, strides, pads, rhs_dilation=dilations, feature_group_count=attrs.get("group", 1))
    return result + inputs[2].reshape(1, -1, *[1] * n) if len(inputs) > 2 else result


def conv_transpose(inputs, attrs):
    x, w = inputs[0], inputs[1]
    n = x.ndim - 2
    if attrs.get("group", 1) != 1 or "output_shape" in attrs or attrs.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise Unsupported("this form of ConvTranspose")
    strides, pads, more = attrs.get("strides", [1] * n), attrs.get("pads", [0] * 2 * n), attrs.get("output_padding", [0] * n)
    pairs = [(k - 1 - pads[i], k - 1 - pads[n + i] + more[i]) for i, k in enumerate(w.shape[2:])]
    flipped = jnp.flip(w, tuple(range(2, w.ndim))).swapaxes(0, 1)
    result = lax.conv_general_dilated(x, flipped, [1] * n, pairs, lhs_dilation=strides)
    return result + inputs[2].reshape(1, -1, *[1] * n) if len(inputs) > 2 else result


def pool(attrs, x, initial, reducer):
    window = attrs["kernel_shape"]
    n = len(window)
    strides, dilations = attrs.get("strides", [1] * n), attrs.get("dilations", [1] * n)
    pairs = padding_of(attrs, x, window, strides, dilations)
    if attrs.get("ceil_mode"):
        for i, (before, after) in enumerate(pairs):
            rest = (x.shape[2 + i] + before + after - (window[i] - 1) * dilations[i] - 1) % strides[i]
            pairs[i] = (before, after + (strides[i] - rest if rest else 0))
    return lax.reduce_window(x, np.asarray(initial, x.dtype), reducer, (1, 1, *window), (1, 1, *strides),
                             ((0, 0), (0, 0), *pairs), window_dilation=(1, 1, *dilations))


def max_pool(inputs, attrs):
    return pool(attrs, inputs[0], -np.inf, lax.max)


def average_pool(inputs, attrs):
    x = inputs[0]
    total = pool(attrs, x, 0, lax.add)
    if attrs.get("count_include_pad"):
        return total / np.prod(attrs["kernel_shape"]).astype(np.float32)
    return total / pool(attrs, jnp.ones_like(x), 0, lax.add)


def global_pool(reduce):
    return lambda inputs, attrs: reduce(inputs[0], axis=tuple(range(2, inputs[0].ndim)), keepdims=True)


# ---- Normalisation and reductions ------------------------------------------------------------


def batch_norm(inputs, attrs):
    x, scale, bias, mean, variance = (v if i == 0 else v.reshape(1, -1, *[1] * (inputs[0].ndim - 2)) for i, v in enumerate(inputs))
    return (x - mean) * (scale / jnp.sqrt(variance + attrs.get("epsilon", 1e-5))) + bias


def layer_norm(inputs, attrs):
    x = inputs[0]
    axes = tuple(range(attrs.get("axis", -1) % x.ndim, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    result = centred * lax.rsqrt((centred * centred).mean(axes, keepdims=True) + attrs.get("epsilon", 1e-5)) * inputs[1]
    return result + inputs[2] if len(inputs) > 2 else result


def softmax(inputs, attrs):
    x = inputs[0]
    if attrs["opset"] < 13:
        axis = attrs.get("axis", 1)
        return jax.nn.softmax(x.reshape(int(np.prod(x.shape[:axis])), -1), axis=-1).reshape(x.shape)
    return jax.nn.softmax(x, axis=attrs.get("axis", -1))


def lrn(inputs, attrs):
    x, size = inputs[0], attrs["size"]
    squares = lax.reduce_window(x * x, np.float32(0), lax.add, (1, size, 1, 1), (1, 1, 1, 1),
                                ((0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0)))
    return x / (attrs.get("bias", 1.0) + attrs.get("alpha", 1e-4) / size * squares) ** attrs.get("beta", 0.75)


def reduction(name):
    def apply(inputs, attrs):
        return getattr(library(inputs[0]), name)(inputs[0], axis=axes_of(inputs, attrs, 1), keepdims=bool(attrs.get("keepdims", 1)))

    return apply


# ---- Recurrence ------------------------------------------------------------------------------


def lstm(inputs, attrs):
    x, w, r = inputs[:3]
    usual = [b"Sigmoid", b"Tanh", b"Tanh"]
    if (attrs.get("direction", b"forward") != b"forward" or attrs.get("activations", usual) != usual
            or any(v is not None for v in inputs[7:])):
        raise Unsupported("this form of LSTM")
    b, _, h, c = [*inputs[3:7], *[None] * (7 - len(inputs[:7]))]
    size = r.shape[2]
    zero = jnp.zeros((x.shape[1], size), x.dtype)
    h, c = (zero if v is None else v[0] for v in (h, c))
    fixed = jnp.einsum("tbi,gi->tbg", x, w[0]) + (0 if b is None else b[0, : 4 * size] + b[0, 4 * size :])

    def step(state, row):
        gates = row + state[0] @ r[0].T
        i, o, f, g = (gates[:, k * size : (k + 1) * size] for k in range(4))
        c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    (h, c), rows = lax.scan(step, (h, c), fixed)
    return [rows[:, None], h[None], c[None]]


OPS = {
    **{name: binary(function) for name, function in {
        "Add": "add", "Sub": "subtract", "Mul": "multiply", "Pow": "power", "And": "logical_and", "Max": "maximum",
        "Min": "minimum", "Sum": "add", "Equal": "equal", "GreaterOrEqual": "greater_equal", "Less": "less"}.items()},
    **{name: unary(function) for name, function in {
        "Neg": "negative", "Exp": "exp", "Sqrt": "sqrt", "Tanh": "tanh", "Reciprocal": "reciprocal", "IsNaN": "isnan"}.items()},
    **{name: reduction(function) for name, function in {
        "ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod"}.items()},
    "AveragePool": average_pool, "BatchNormalization": batch_norm, "Cast": cast, "Clip": clip, "Concat": concat,
    "Constant": constant, "ConstantOfShape": constant_of_shape, "Conv": conv, "ConvTranspose": conv_transpose, "Div": divide,
    "Dropout": lambda inputs, attrs: inputs[0],
    "Erf": lambda inputs, attrs: lax.erf(inputs[0]),
    "Expand": expand, "Flatten": flatten, "Gather": gather, "GatherElements": gather_elements, "GatherND": gather_nd, "Gemm": gemm,
    "GlobalAveragePool": global_pool(jnp.mean), "GlobalMaxPool": global_pool(jnp.max), "HardSigmoid": hard_sigmoid,
    "Identity": lambda inputs, attrs: inputs[0],
    "LRN": lrn, "LSTM": lstm, "LayerNormalization": layer_norm,
    "MatMul": lambda inputs, attrs: jnp.matmul(*inputs),
    "MaxPool": max_pool,
    "PRelu": lambda inputs, attrs: jnp.where(inputs[0] > 0, inputs[0], inputs[0] * inputs[1]),
    "Pad": pad,
    "Range": lambda inputs, attrs: np.arange(*(np.asarray(v).item() for v in inputs), dtype=inputs[0].dtype),
    "Resize": resize,
    "Relu": lambda inputs, attrs: jnp.maximum(inputs[0], 0),
    "Reshape": reshape,
    "Shape": lambda inputs, attrs: np.asarray(inputs[0].shape[attrs.get("start", 0) : attrs.get("end")], np.int64),
    "Sigmoid": lambda inputs, attrs: jax.nn.sigmoid(inputs[0]),
    "Slice": slice_, "Softmax": softmax, "Split": split, "Squeeze": squeeze,
    "Transpose": lambda inputs, attrs: inputs[0].transpose(attrs.get("perm")),
    "Unsqueeze": unsqueeze,
    "Where": lambda inputs, attrs: library(*inputs).where(*inputs),
}


def attributes(node, opset):
    """A node's attributes, with two facts that some ops go by."""
    own = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {**own, "opset": opset, "n_outputs": len(node.output)}


def convert(model):
    graph, opset = model.graph, next(o.version for o in model.opset_import if o.domain == "")
    unknown = sorted({n.op_type for n in graph.node} - set(OPS))
    if unknown:
        raise Unsupported(f"{', '.join(unknown)} not in onnx_jax.py")
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights = {name: a for name, a in stored.items() if a.dtype == np.float32 and a.size >= LARGE}
    names = [value.name for value in graph.input if value.name not in stored]

    def function(weights, *inputs):
        values = {**stored, **weights, **dict(zip(names, inputs)), "": None}
        for node in graph.node:
            attrs = attributes(node, opset)
            results = OPS[node.op_type]([values[name] for name in node.input], attrs)
            results = results if isinstance(results, (list, tuple)) else [results]
            values.update(zip(node.output, results))
        return [jnp.asarray(values[value.name]) for value in graph.output]

    return function, weights
