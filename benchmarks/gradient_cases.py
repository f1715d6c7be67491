"""What benchmarks/gradients.py compares: an op of Tenon's as text, the same in PyTorch, and inputs.

A case's text is the body of a function whose last value is %y; {t} stands for the dtype. Floats among the inputs are
converted to it, integers and bools stay. Gradients are those of the sum of y times fixed weights; at edges the weights
are ones.
"""

import numpy as np
import torch
import torch.nn.functional as F


class Case:
    def __init__(self, op, note, text, function, inputs, functions=""):
        self.op, self.note, self.text, self.function = op, note, text, function
        self.inputs, self.functions = inputs, functions


CASES, EDGES = [], []
_random = np.random.default_rng(11)


def numbers(*shape, low=-2.0, high=2.0):
    """Random, and short in f32, so that both dtypes get the same inputs."""
    return _random.uniform(low, high, shape).astype(np.float32).astype(np.float64)


def add(op, note, text, function, **inputs):
    CASES.append(Case(op, note, text, function, inputs))


def edge(op, note, text, function, **inputs):
    EDGES.append(Case(op, note, text, function, {k: np.array(v) for k, v in inputs.items()}))


def y(text):
    return "%y = " + text


# ---- Elementwise ---------------------------------------------------------------------------------------------------

UNARY = {
    "neg": (torch.neg, -2, 2), "abs": (torch.abs, -2, 2), "exp": (torch.exp, -3, 3), "exp2": (torch.exp2, -3, 3),
    "log": (torch.log, 0.1, 5), "log1p": (torch.log1p, -0.9, 5), "expm1": (torch.expm1, -3, 3),
    "sqrt": (torch.sqrt, 0.1, 5), "rsqrt": (torch.rsqrt, 0.1, 5), "sin": (torch.sin, -5, 5),
    "cos": (torch.cos, -5, 5), "tan": (torch.tan, -1.4, 1.4), "asin": (torch.asin, -0.95, 0.95),
    "acos": (torch.acos, -0.95, 0.95), "atan": (torch.atan, -5, 5), "sinh": (torch.sinh, -3, 3),
    "cosh": (torch.cosh, -3, 3), "tanh": (torch.tanh, -3, 3), "asinh": (torch.asinh, -5, 5),
    "acosh": (torch.acosh, 1.1, 5), "atanh": (torch.atanh, -0.9, 0.9), "erf": (torch.erf, -3, 3),
    "logistic": (torch.sigmoid, -5, 5), "relu": (torch.relu, -2, 2), "silu": (F.silu, -4, 4),
    "sigmoid": (torch.sigmoid, -5, 5), "hard_swish": (F.hardswish, -5, 5), "softplus": (F.softplus, -5, 5),
    "mish": (F.mish, -4, 4), "leaky_relu": (F.leaky_relu, -2, 2), "elu": (F.elu, -3, 3),
    "hard_sigmoid": (lambda x: F.relu6(x + 3) / 6, -5, 5), "gelu": (F.gelu, -4, 4),
}  # fmt: skip
for _name, (_function, _low, _high) in UNARY.items():
    add(_name, "", y(f"{_name} %x"), _function, x=numbers(3, 17, low=_low, high=_high))
add("leaky_relu", "alpha 0.2", y("leaky_relu %x, alpha=0.2"), lambda x: F.leaky_relu(x, 0.2), x=numbers(3, 17))
add("elu", "alpha 0.7", y("elu %x, alpha=0.7"), lambda x: F.elu(x, 0.7), x=numbers(3, 17))
add("gelu", "tanh form", y("gelu %x, approximate=1"), lambda x: F.gelu(x, approximate="tanh"), x=numbers(3, 17))
add("softplus", "large", y("softplus %x"), F.softplus, x=numbers(30, low=-18, high=18))
add("convert", "to bf16 and back", "%0 = convert %x, dtype=f16\n%y = convert %0, dtype={t}",
    lambda x: x.to(torch.float16).to(x.dtype), x=numbers(3, 17))  # fmt: skip
add("stop_gradient", "straight through", "%0 = stop_gradient %x\n%1 = mul %0, %x\n%y = add %1, %0",
    lambda x: x.detach() * x + x.detach(), x=numbers(3, 17))  # fmt: skip

BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "rem": torch.fmod,
    "max": torch.maximum, "min": torch.minimum, "atan2": torch.atan2,
}  # fmt: skip
for _name, _function in BINARY.items():
    add(_name, "", y(f"{_name} %a, %b"), _function, a=numbers(5, 9), b=numbers(5, 9, low=0.3, high=3))
add("pow", "", y("pow %a, %b"), torch.pow, a=numbers(5, 9, low=0.1, high=3), b=numbers(5, 9))
add("select", "", y("select %c, %a, %b"), torch.where, c=numbers(5, 9) > 0, a=numbers(5, 9), b=numbers(5, 9))
add("clamp", "numbers", "%0 = constant value={t}[] {{-0.5}}\n%1 = broadcast %0, shape=[5, 9]\n"
    "%2 = constant value={t}[] {{1.5}}\n%3 = broadcast %2, shape=[5, 9]\n%y = clamp %1, %x, %3",
    lambda x: torch.clamp(x, -0.5, 1.5), x=numbers(5, 9))  # fmt: skip
add("clamp", "tensors", y("clamp %a, %x, %b"), lambda a, x, b: torch.clamp(x, a, b), a=numbers(5, 9, low=-2, high=-0.5),
    x=numbers(5, 9), b=numbers(5, 9, low=0.5, high=2))  # fmt: skip
add("fma", "", y("fma %a, %b, %c"), lambda a, b, c: torch.addcmul(c, a, b), a=numbers(5, 9), b=numbers(5, 9),
    c=numbers(5, 9))  # fmt: skip

# ---- Views ---------------------------------------------------------------------------------------------------------

add("broadcast", "", y("broadcast %x, dims=[1, 3], shape=[2, 3, 4, 5]"),
    lambda x: x.reshape(1, 3, 1, 1).expand(2, 3, 4, 5), x=numbers(3, 1))  # fmt: skip
add("reshape", "", y("reshape %x, shape=[4, 6]"), lambda x: x.reshape(4, 6), x=numbers(2, 3, 4))
add("transpose", "", y("transpose %x, perm=[2, 0, 1]"), lambda x: x.permute(2, 0, 1), x=numbers(2, 3, 4))
add("slice", "strided", y("slice %x, start=[1, 0], limit=[6, 9], stride=[2, 3]"), lambda x: x[1:6:2, 0:9:3],
    x=numbers(7, 9))  # fmt: skip
add("pad", "", y("pad %x, %v, low=[1, 2], high=[0, 3]"),
    lambda x, v: torch.where(F.pad(torch.ones_like(x), (2, 3, 1, 0)) > 0, F.pad(x, (2, 3, 1, 0)), v),
    x=numbers(3, 4), v=numbers())  # fmt: skip
add("pad", "crops", y("pad %x, %v, low=[-1, 2], high=[1, -2]"),
    lambda x, v: torch.where(F.pad(torch.ones_like(x), (2, -2, -1, 1)) > 0, F.pad(x, (2, -2, -1, 1)), v),
    x=numbers(3, 4), v=numbers())  # fmt: skip


def spread(x, v):
    out = v.expand(3 * x.shape[0] - 2 + 3).clone()
    out[1 : 1 + 3 * x.shape[0] - 2 : 3] = x
    return out


add("pad", "between elements", y("pad %x, %v, low=[1], high=[2], interior=[2]"), spread, x=numbers(5), v=numbers())
add("concat", "", y("concat %a, %b, %a, axis=1"), lambda a, b: torch.cat([a, b, a], 1), a=numbers(2, 3),
    b=numbers(2, 4))  # fmt: skip
add("reverse", "", y("reverse %x, axes=[0, 2]"), lambda x: torch.flip(x, [0, 2]), x=numbers(2, 3, 4))

# ---- Indexing ------------------------------------------------------------------------------------------------------

add("gather", "rows, repeated", y("gather %x, %i, axes=[0]"), lambda x, i: x[i[:, 0]], x=numbers(5, 4),
    i=np.array([[3], [0], [3], [3], [1], [0]]))  # fmt: skip
add("gather", "pairs", y("gather %x, %i, axes=[0, 2]"), lambda x, i: x.permute(0, 2, 1)[i[:, 0], i[:, 1]],
    x=numbers(5, 3, 4), i=np.array([[3, 1], [0, 0], [3, 1], [4, 3]]))  # fmt: skip
add("gather", "along an axis (batched)", y("gather %x, %i, axes=[1], batch_dims=1"),
    lambda x, i: torch.take_along_dim(x, i[:, :, 0], 1), x=numbers(3, 5),
    i=np.array([[[0], [4]], [[2], [2]], [[1], [0]]]))  # fmt: skip
add("scatter", "set", y("scatter %x, %i, %u, axes=[0], combine=set"),
    lambda x, i, u: x.index_put((i[:, 0],), u), x=numbers(5, 4), i=np.array([[3], [0]]), u=numbers(2, 4))  # fmt: skip
add("scatter", "add, repeated", y("scatter %x, %i, %u, axes=[0], combine=add"),
    lambda x, i, u: x.index_put((i[:, 0],), u, accumulate=True), x=numbers(5, 4), i=np.array([[3], [0], [3], [3]]),
    u=numbers(4, 4))  # fmt: skip
for _combine, _reduce in {"mul": "prod", "max": "amax", "min": "amin"}.items():
    add("scatter", f"{_combine}, repeated", y(f"scatter %x, %i, %u, axes=[0], combine={_combine}"),
        lambda x, i, u, _reduce=_reduce: x.scatter_reduce(0, i.expand(4, 4), u, _reduce), x=numbers(5, 4),
        i=np.array([[3], [0], [3], [3]]), u=numbers(4, 4))  # fmt: skip
add("dynamic_slice", "", y("dynamic_slice %x, %i, %j, sizes=[2, 3]"), lambda x, i, j: x[1:3, 2:5], x=numbers(4, 6),
    i=np.array(1), j=np.array(2))  # fmt: skip


def update(x, u, i, j):
    out = x.clone()
    out[1:3, 2:5] = u
    return out


add("dynamic_update_slice", "", y("dynamic_update_slice %x, %u, %i, %j"), update, x=numbers(4, 6), u=numbers(2, 3),
    i=np.array(1), j=np.array(2))  # fmt: skip

# ---- Reductions ----------------------------------------------------------------------------------------------------

add("reduce", "sum", y("reduce %x, axes=[0, 2], kind=sum"), lambda x: x.sum((0, 2)), x=numbers(3, 4, 5))
add("reduce", "prod", y("reduce %x, axes=[0, 2], kind=prod"), lambda x: x.prod(2).prod(0), x=numbers(3, 4, 5))
add("reduce", "max", y("reduce %x, axes=[0, 2], kind=max"), lambda x: x.amax((0, 2)), x=numbers(3, 4, 5))
add("reduce", "min", y("reduce %x, axes=[1], kind=min"), lambda x: x.amin(1), x=numbers(3, 4, 5))


def exclusive(f):
    return lambda x: F.pad(f(x)[:, :-1], (1, 0), value=0.0 if f.__name__ == "cumsum" else 1.0)


def cumsum(x):
    return torch.cumsum(x, 1)


def cumprod(x):
    return torch.cumprod(x, 1)


def backwards(f):
    return lambda x: torch.flip(f(torch.flip(x, [1])), [1])


for _kind, _function in {"sum": cumsum, "prod": cumprod}.items():
    add("cumulate", _kind, y(f"cumulate %x, kind={_kind}, axis=1"), _function, x=numbers(3, 7))
    add("cumulate", f"{_kind}, exclusive", y(f"cumulate %x, kind={_kind}, axis=1, exclusive=1"), exclusive(_function),
        x=numbers(3, 7))  # fmt: skip
    add("cumulate", f"{_kind}, reverse", y(f"cumulate %x, kind={_kind}, axis=1, reverse=1"), backwards(_function),
        x=numbers(3, 7))  # fmt: skip
add("cumulate", "max", y("cumulate %x, kind=max, axis=1"), lambda x: torch.cummax(x, 1).values, x=numbers(3, 9))
add("cumulate", "min", y("cumulate %x, kind=min, axis=1"), lambda x: torch.cummin(x, 1).values, x=numbers(3, 9))


def windows(x):
    return x.unfold(1, 3, 2)


for _kind, _function in {
    "sum": lambda x: windows(x).sum(-1), "prod": lambda x: windows(x).prod(-1), "max": lambda x: windows(x).amax(-1),
    "min": lambda x: windows(x).amin(-1),
}.items():  # fmt: skip
    add("window", f"{_kind}, overlapping", y(f"window %x, kind={_kind}, window=[1, 3], stride=[1, 2]"), _function,
        x=numbers(3, 9))  # fmt: skip
add("sort", "ascending", y("sort %x, axis=1"), lambda x: torch.sort(x, dim=1, stable=True).values, x=numbers(3, 9))
add("sort", "another along", "%0, %y = sort %x, %z, axis=1, descending=1",
    lambda x, z: torch.gather(z, 1, torch.sort(x, dim=1, descending=True, stable=True).indices) + 0 * x,
    x=numbers(3, 9), z=numbers(3, 9))  # fmt: skip
add("top_k", "", "%y, %1 = top_k %x, axis=1, k=3, descending=1", lambda x: torch.topk(x, 3, 1).values, x=numbers(3, 9))

# ---- Contractions ----------------------------------------------------------------------------------------------------

add("dot", "", y("dot %a, %b, contract=[1]x[0]"), torch.matmul, a=numbers(5, 7), b=numbers(7, 6))
add("dot", "batch, two contracted", y("dot %a, %b, batch=[0]x[1], contract=[1, 3]x[2, 0]"),
    lambda a, b: torch.einsum("nkml,lnkp->nmp", a, b), a=numbers(2, 3, 4, 5), b=numbers(5, 2, 3, 6))  # fmt: skip
add("matmul", "broadcasting", y("matmul %a, %b"), torch.matmul, a=numbers(2, 1, 4, 5), b=numbers(3, 5, 6))
add("matmul", "vector", y("matmul %a, %b"), torch.matmul, a=numbers(5), b=numbers(3, 5, 6))
add("conv", "1d, stride, padding", y("conv %x, %k, stride=[2], low=[1], high=[1]"),
    lambda x, k: F.conv1d(x, k, stride=2, padding=1), x=numbers(2, 3, 12), k=numbers(4, 3, 3))  # fmt: skip
add("conv", "2d, padding", y("conv %x, %k, low=[1, 1], high=[1, 1]"), lambda x, k: F.conv2d(x, k, padding=1),
    x=numbers(2, 3, 8, 9), k=numbers(4, 3, 3, 3))  # fmt: skip
add("conv", "2d, stride, dilation, groups",
    y("conv %x, %k, stride=[2, 1], dilation=[1, 2], low=[1, 2], high=[1, 2], groups=2"),
    lambda x, k: F.conv2d(x, k, stride=(2, 1), dilation=(1, 2), padding=(1, 2), groups=2), x=numbers(2, 4, 8, 9),
    k=numbers(6, 2, 3, 3))  # fmt: skip
add("conv", "2d, depthwise", y("conv %x, %k, low=[1, 1], high=[1, 1], groups=4"),
    lambda x, k: F.conv2d(x, k, padding=1, groups=4), x=numbers(2, 4, 8, 9), k=numbers(4, 1, 3, 3))  # fmt: skip
add("conv", "2d, uneven padding", y("conv %x, %k, low=[0, 1], high=[1, 2], stride=[2, 2]"),
    lambda x, k: F.conv2d(F.pad(x, (1, 2, 0, 1)), k, stride=2), x=numbers(1, 2, 7, 8),
    k=numbers(3, 2, 3, 3))  # fmt: skip
add("conv", "3d", y("conv %x, %k, stride=[1, 2, 1]"), lambda x, k: F.conv3d(x, k, stride=(1, 2, 1)),
    x=numbers(1, 2, 4, 6, 5), k=numbers(3, 2, 2, 3, 2))  # fmt: skip
add("conv", "2d, transposed (stride 2)", y("conv %x, %k, input_dilation=[2, 2], low=[1, 1], high=[1, 1]"),
    lambda x, k: F.conv_transpose2d(x, torch.flip(k, [2, 3]).transpose(0, 1), stride=2, padding=1),
    x=numbers(2, 3, 5, 4), k=numbers(4, 3, 3, 3))  # fmt: skip

# Sizes at which products and convolutions take their fast ways.


def conv_case(note, x, k, stride=1, padding=0, dilation=1, groups=1):
    n = len(x) - 2
    lists = {"stride": stride, "dilation": dilation, "low": padding, "high": padding}
    text = ", ".join(f"{name}={[value] * n}" for name, value in lists.items())
    function = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
    add("conv", note, y(f"conv %x, %k, {text}, groups={groups}"),
        lambda x, k: function(x, k, None, stride, padding, dilation, groups), x=numbers(*x), k=numbers(*k))  # fmt: skip


add("dot", "300 x 200 x 250", y("dot %a, %b, contract=[1]x[0]"), torch.matmul, a=numbers(300, 200), b=numbers(200, 250))
add("dot", "batch of 12, 64 x 32 x 64", y("dot %a, %b, batch=[0]x[0], contract=[2]x[2]"),
    lambda a, b: a @ b.transpose(1, 2), a=numbers(12, 64, 32), b=numbers(12, 64, 32))  # fmt: skip
conv_case("3 x 3, 32 to 48 channels, 28 x 28", (4, 32, 28, 28), (48, 32, 3, 3), padding=1)
conv_case("3 x 3, stride 2, 32 to 48 channels, 28 x 28", (4, 32, 28, 28), (48, 32, 3, 3), stride=2, padding=1)
conv_case("1 x 1, 64 to 32 channels, 14 x 14", (4, 64, 14, 14), (32, 64, 1, 1))
conv_case("1 x 1, stride 2, 64 to 32 channels, 14 x 14", (4, 64, 14, 14), (32, 64, 1, 1), stride=2)
conv_case("7 x 7, stride 2, 3 to 32 channels, 40 x 40", (2, 3, 40, 40), (32, 3, 7, 7), stride=2, padding=3)
conv_case("5 x 5, depthwise, 32 channels, 20 x 20", (2, 32, 20, 20), (32, 1, 5, 5), padding=2, groups=32)
conv_case("3 x 3, dilation 2, 16 to 16 channels, 24 x 24", (2, 16, 24, 24), (16, 16, 3, 3), padding=2, dilation=2)
conv_case("1d, 9 taps, 32 to 32 channels, 200", (2, 32, 200), (32, 32, 9), padding=4)
for _i in range(24):
    _n, _groups = int(_random.integers(1, 4)), int(_random.integers(1, 4))
    _size, _taps = int(_random.integers(6, 12)), int(_random.integers(1, 4))
    _stride, _padding, _dilation = (int(_random.integers(low, 3)) for low in (1, 0, 1))
    _note = f"{_n}d, {_taps} taps, stride {_stride}, padding {_padding}, dilation {_dilation}, groups {_groups}"
    conv_case(f"random: {_note}",
        (2, 2 * _groups) + (_size,) * _n, (3 * _groups, 2) + (_taps,) * _n, _stride, _padding, _dilation,
        _groups)  # fmt: skip

# ---- Networks ------------------------------------------------------------------------------------------------------

add("softmax", "", y("softmax %x, axis=1"), lambda x: F.softmax(x, 1), x=numbers(4, 9, low=-5, high=5))
add("log_softmax", "", y("log_softmax %x, axis=1"), lambda x: F.log_softmax(x, 1), x=numbers(4, 9, low=-5, high=5))
add("mean", "", y("mean %x, axes=[0, 2]"), lambda x: x.mean((0, 2)), x=numbers(3, 4, 5))
add("variance", "", y("variance %x, axes=[0, 2]"), lambda x: x.var((0, 2), unbiased=False), x=numbers(3, 4, 5))
add("layer_norm", "", y("layer_norm %x, %s, %b, axis=1"), lambda x, s, b: F.layer_norm(x, s.shape, s, b),
    x=numbers(4, 3, 5), s=numbers(3, 5), b=numbers(3, 5))  # fmt: skip
add("rms_norm", "", y("rms_norm %x, %s, axis=1, epsilon=1e-05"), lambda x, s: F.rms_norm(x, s.shape, s, 1e-5),
    x=numbers(4, 9), s=numbers(9))  # fmt: skip
add("batch_norm", "inference", y("batch_norm %x, %s, %b, %m, %v"),
    lambda x, s, b, m, v: (x - m[:, None]) / torch.sqrt(v[:, None] + 1e-5) * s[:, None] + b[:, None],
    x=numbers(2, 3, 5), s=numbers(3), b=numbers(3), m=numbers(3), v=numbers(3, low=0.2, high=2))  # fmt: skip
add("attention", "", y("attention %q, %k, %v"), F.scaled_dot_product_attention, q=numbers(2, 5, 4), k=numbers(2, 7, 4),
    v=numbers(2, 7, 3))  # fmt: skip
add("attention", "causal", y("attention %q, %k, %v, causal=1"),
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), q=numbers(2, 6, 4), k=numbers(2, 6, 4),
    v=numbers(2, 6, 4))  # fmt: skip
add("attention", "added mask", y("attention %q, %k, %v, %m"),
    lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m), q=numbers(2, 5, 4), k=numbers(2, 7, 4),
    v=numbers(2, 7, 4), m=numbers(2, 5, 7))  # fmt: skip
add("attention", "causal, 64 of 64, 8 in a batch", y("attention %q, %k, %v, causal=1"),
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), q=numbers(2, 4, 64, 32),
    k=numbers(2, 4, 64, 32), v=numbers(2, 4, 64, 32))  # fmt: skip
add("layer_norm", "64 rows of 384", y("layer_norm %x, %s, %b, axis=1"), lambda x, s, b: F.layer_norm(x, s.shape, s, b),
    x=numbers(64, 384), s=numbers(384), b=numbers(384))  # fmt: skip
add("log_softmax", "128 rows of 1000", y("log_softmax %x, axis=1"), lambda x: F.log_softmax(x, 1),
    x=numbers(128, 1000, low=-5, high=5))  # fmt: skip
add("max_pool", "3 x 3, stride 2, 56 x 56", y("max_pool %x, window=[3, 3], stride=[2, 2], low=[1, 1], high=[1, 1]"),
    lambda x: F.max_pool2d(x, 3, 2, 1), x=numbers(2, 16, 56, 56))  # fmt: skip
add("max_pool", "overlapping, padded", y("max_pool %x, window=[3, 3], stride=[2, 2], low=[1, 1], high=[1, 1]"),
    lambda x: F.max_pool2d(x, 3, 2, 1), x=numbers(2, 3, 8, 9))  # fmt: skip
add("max_pool", "dilated", y("max_pool %x, window=[2, 2], dilation=[2, 2]"), lambda x: F.max_pool2d(x, 2, 1, 0, 2),
    x=numbers(1, 2, 6, 7))  # fmt: skip
for _counts in (0, 1):
    add("avg_pool", "padding counts" if _counts else "padding does not count",
        y(f"avg_pool %x, window=[3, 3], stride=[2, 2], low=[1, 1], high=[1, 1], count_padding={_counts}"),
        lambda x, _counts=_counts: F.avg_pool2d(x, 3, 2, 1, count_include_pad=bool(_counts)),
        x=numbers(2, 3, 8, 9))  # fmt: skip
add("global_avg_pool", "", y("global_avg_pool %x"), lambda x: x.mean((2, 3), keepdim=True), x=numbers(2, 3, 4, 5))

# ---- Control flow: functions behind the body -----------------------------------------------------------------------

RNN = """}}
fn @cell(%h: {t}[2, 3], %w: {t}[3, 3], %x: {t}[2, 3]) -> (%next: {t}[2, 3], %same: {t}[3, 3], %out: {t}[2, 3]) {{
%0 = dot %h, %w, contract=[1]x[0]
%1 = add %0, %x
%2 = tanh %1
%3 = mul %2, %x
return %2, %w, %3
"""


def rnn(x, h, w, backward=False):
    outs = []
    for step in reversed(range(len(x))) if backward else range(len(x)):
        h = torch.tanh(h @ w + x[step])
        outs.append(h * x[step])
    return torch.stack(outs[::-1] if backward else outs) + h


for _reverse in (0, 1):
    CASES.append(Case(
        "scan", "recurrent, from the end" if _reverse else "recurrent",
        f"%last, %w2, %all = scan %h, %w, %x, body=@cell, carried=2, length=5, reverse={_reverse}\n"
        "%0 = broadcast %last, dims=[1, 2], shape=[5, 2, 3]\n%y = add %all, %0",
        lambda x, h, w, _reverse=_reverse: rnn(x, h, w, _reverse),
        {"x": numbers(5, 2, 3), "h": numbers(2, 3), "w": numbers(3, 3)}, RNN))  # fmt: skip
BRANCHES = """}}
fn @product(%a: {t}[3, 4], %b: {t}[3, 4]) -> (%r: {t}[3, 4]) {{
%0 = sin %b
%1 = mul %a, %0
return %1
}}
fn @quotient(%a: {t}[3, 4], %b: {t}[3, 4]) -> (%r: {t}[3, 4]) {{
%0 = div %a, %b
return %0
"""
for _taken in (False, True):
    CASES.append(Case(
        "if", "taken" if _taken else "not taken", y("if %c, %a, %b, then=@product, otherwise=@quotient"),
        lambda c, a, b: a * torch.sin(b) if bool(c) else a / b,
        {"c": np.array(_taken), "a": numbers(3, 4), "b": numbers(3, 4, low=0.5, high=2)}, BRANCHES))  # fmt: skip

CALLED = """}}
fn @f(%a: {t}[3, 4], %b: {t}[3, 4]) -> (%r: {t}[3, 4]) {{
%0 = mul %a, %b
%1 = tanh %0
return %1
"""
CASES.append(Case("call", "twice", "%0 = call %a, %b, callee=@f\n%y = call %0, %a, callee=@f",
    lambda a, b: torch.tanh(torch.tanh(a * b) * a), {"a": numbers(3, 4), "b": numbers(3, 4)}, CALLED))  # fmt: skip

# The carried values are doubled until the count is reached; the number of rounds is bounded by it.
COUNTED = """}}
fn @more(%i: i64[], %v: {t}[3]) -> (%r: bool[]) {{
%0 = constant value=i64[] {{4}}
%1 = compare %i, %0, compare=lt
return %1
}}
fn @round(%i: i64[], %v: {t}[3]) -> (%j: i64[], %w: {t}[3]) {{
%0 = constant value=i64[] {{1}}
%1 = add %i, %0
%2 = sin %v
%3 = mul %2, %v
return %1, %3
"""


def repeated(v):
    for _ in range(4):
        v = torch.sin(v) * v
    return v


CASES.append(Case("while", "known number of rounds",
    "%0 = constant value=i64[] {{0}}\n%1, %y = while %0, %v, cond=@more, body=@round", repeated,
    {"v": numbers(3)}, COUNTED))  # fmt: skip

# ---- Ties and edges: what is compared is each element --------------------------------------------------------------

_inf = float("inf")
edge("relu", "at 0", y("relu %x"), torch.relu, x=[-1.0, -0.0, 0.0, 1.0])
edge("abs", "at 0", y("abs %x"), torch.abs, x=[-0.0, 0.0])
edge("leaky_relu", "at 0", y("leaky_relu %x"), F.leaky_relu, x=[-0.0, 0.0])
edge("elu", "at 0", y("elu %x, alpha=0.7"), lambda x: F.elu(x, 0.7), x=[-0.0, 0.0])
edge("hard_sigmoid", "at -3, 3", y("hard_sigmoid %x"), F.hardsigmoid, x=[-3.0, 3.0])
edge("hard_swish", "at -3, 3", y("hard_swish %x"), F.hardswish, x=[-3.0, 3.0])
edge("sqrt", "at 0", y("sqrt %x"), torch.sqrt, x=[0.0, 4.0])
edge("rsqrt", "at 0", y("rsqrt %x"), torch.rsqrt, x=[0.0, 4.0])
edge("log", "at 0", y("log %x"), torch.log, x=[0.0, 1.0])
edge("log1p", "at -1", y("log1p %x"), torch.log1p, x=[-1.0, 0.0])
edge("asin", "at -1, 1", y("asin %x"), torch.asin, x=[-1.0, 1.0])
edge("acosh", "at 1", y("acosh %x"), torch.acosh, x=[1.0])
edge("atanh", "at -1, 1", y("atanh %x"), torch.atanh, x=[-1.0, 1.0])
edge("exp", "overflow", y("exp %x"), torch.exp, x=[-_inf, 1000.0])
edge("tanh", "at infinity", y("tanh %x"), torch.tanh, x=[-_inf, _inf, 30.0])
edge("logistic", "far out", y("logistic %x"), torch.sigmoid, x=[-_inf, _inf, -800.0, 800.0])
edge("softplus", "far out", y("softplus %x"), F.softplus, x=[-800.0, 600.0])
edge("silu", "far out", y("silu %x"), F.silu, x=[-800.0, 800.0])
edge("gelu", "far out", y("gelu %x"), F.gelu, x=[-40.0, 40.0])
edge("mish", "far out", y("mish %x"), F.mish, x=[-80.0, 80.0])
edge("max", "tie", y("max %a, %b"), torch.maximum, a=[1.0, 2.0, 0.0], b=[1.0, 1.0, -0.0])
edge("min", "tie", y("min %a, %b"), torch.minimum, a=[1.0, 2.0, 0.0], b=[1.0, 3.0, -0.0])
edge("clamp", "at its bounds", "%0 = constant value={t}[4] {{0, 0, 0, 0}}\n%1 = constant value={t}[4] {{1, 1, 1, 1}}\n"
     "%y = clamp %0, %x, %1", lambda x: torch.clamp(x, 0, 1), x=[0.0, 1.0, 0.5, 2.0])  # fmt: skip
edge("pow", "base 0, exponent above 1, 1, below 1", y("pow %a, %b"), torch.pow, a=[0.0, 0.0, 0.0, 0.0],
     b=[3.0, 2.0, 1.0, 0.5])  # fmt: skip
edge("pow", "base 0, exponent 0", y("pow %a, %b"), torch.pow, a=[0.0], b=[0.0])
edge("pow", "base 0, exponent -1", y("pow %a, %b"), torch.pow, a=[0.0], b=[-1.0])
edge("pow", "negative base, whole exponent", "%b = constant value={t}[3] {{2, 3, -1}}\n%y = pow %a, %b",
     lambda a: torch.pow(a, torch.tensor([2.0, 3, -1], dtype=a.dtype)), a=[-2.0, -2.0, -2.0])  # fmt: skip
edge("div", "by 0", y("div %a, %b"), torch.div, a=[1.0, 0.0], b=[0.0, 0.0])
edge("rem", "at a multiple", y("rem %a, %b"), torch.fmod, a=[4.0, -4.0, 5.0], b=[2.0, 2.0, 2.0])
edge("atan2", "at the origin", y("atan2 %a, %b"), torch.atan2, a=[0.0], b=[0.0])
edge("select", "infinite gradient not chosen", "%0 = sqrt %x\n%1 = constant value=bool[2] {{false, true}}\n"
     "%2 = constant value={t}[2] {{1, 1}}\n%y = select %1, %0, %2",
     lambda x: torch.where(torch.tensor([False, True]), torch.sqrt(x), torch.ones_like(x)), x=[0.0, 4.0])  # fmt: skip
edge("reduce", "max, ties", y("reduce %x, axes=[0], kind=max"), lambda x: x.amax(0), x=[2.0, 1.0, 2.0, 2.0])
edge("reduce", "min, ties", y("reduce %x, axes=[0], kind=min"), lambda x: x.amin(0), x=[1.0, 1.0, 2.0])
edge("reduce", "prod, one 0", y("reduce %x, axes=[0], kind=prod"), lambda x: x.prod(0), x=[2.0, 0.0, 3.0])
edge("reduce", "prod, two 0", y("reduce %x, axes=[0], kind=prod"), lambda x: x.prod(0), x=[2.0, 0.0, 3.0, 0.0])
edge("cumulate", "prod, one 0", y("cumulate %x, axis=0, kind=prod"), lambda x: torch.cumprod(x, 0),
     x=[2.0, 0.0, 3.0, 4.0])  # fmt: skip
edge("cumulate", "prod, two 0", y("cumulate %x, axis=0, kind=prod"), lambda x: torch.cumprod(x, 0),
     x=[2.0, 0.0, 3.0, 0.0, 5.0])  # fmt: skip
edge("cumulate", "max, ties", y("cumulate %x, axis=0, kind=max"), lambda x: torch.cummax(x, 0).values,
     x=[1.0, 1.0, 0.0, 2.0, 2.0])  # fmt: skip
edge("window", "max, ties", y("window %x, kind=max, window=[3]"), lambda x: F.max_pool1d(x[None], 3, 1)[0],
     x=[1.0, 2.0, 2.0, 0.0, 2.0])  # fmt: skip
edge("max_pool", "ties", y("max_pool %x, window=[3]"), lambda x: F.max_pool1d(x, 3, 1), x=[[[1.0, 2.0, 2.0, 0.0, 2.0]]])
edge("scatter", "max, ties", y("scatter %x, %i, %u, axes=[0], combine=max"),
     lambda x, i, u: x.scatter_reduce(0, i[:, 0], u, "amax"), x=[1.0, 2.0], i=[[0], [0], [1]],
     u=[1.0, 1.0, 2.0])  # fmt: skip
edge("scatter", "mul, by 0", y("scatter %x, %i, %u, axes=[0], combine=mul"),
     lambda x, i, u: x.scatter_reduce(0, i[:, 0], u, "prod"), x=[3.0, 2.0], i=[[0], [0], [1]],
     u=[0.0, 4.0, 0.0])  # fmt: skip
edge("sort", "ties", y("sort %x, axis=0"), lambda x: torch.sort(x, dim=0, stable=True).values, x=[1.0, 0.0, 1.0, 0.0])
edge("top_k", "ties", "%y, %1 = top_k %x, axis=0, k=2, descending=1",
     lambda x: torch.sort(x, dim=0, descending=True, stable=True).values[:2], x=[1.0, 2.0, 2.0, 2.0])  # fmt: skip
edge("softmax", "masked by -inf", y("softmax %x, axis=0"), lambda x: F.softmax(x, 0), x=[0.5, -_inf, 1.0])
edge("log_softmax", "far apart", y("log_softmax %x, axis=0"), lambda x: F.log_softmax(x, 0), x=[1000.0, 0.0, -1000.0])
edge("variance", "of equal numbers", y("variance %x, axes=[0]"), lambda x: x.var(0, unbiased=False), x=[2.0, 2.0, 2.0])
edge("layer_norm", "of equal numbers", y("layer_norm %x, %s, %b, axis=0"),
     lambda x, s, b: F.layer_norm(x, s.shape, s, b), x=[2.0, 2.0], s=[1.0, 3.0], b=[0.0, 0.0])  # fmt: skip
edge("sqrt", "norm of zeros", "%0 = mul %x, %x\n%1 = reduce %0, axes=[0], kind=sum\n%y = sqrt %1",
     lambda x: torch.sqrt((x * x).sum()), x=[0.0, 0.0])  # fmt: skip
for _name, _function in {"floor": torch.floor, "ceil": torch.ceil, "round": torch.round, "sign": torch.sign}.items():
    edge(_name, "", y(f"{_name} %x"), _function, x=[0.4])
