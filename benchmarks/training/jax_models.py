"""The models of benchmarks/training/models.c in JAX: functions of a dictionary of arrays with Tenon's names.

A step is one jitted function whose state is donated.
"""
import jax
import jax.numpy as jnp
from jax import lax


def mlp(task, p, x):
    for i in range(task["layers"]):
        x = jax.nn.relu(x @ p[f"hidden{i}.kernel"] + p[f"hidden{i}.bias"])
    return x @ p["head.kernel"] + p["head.bias"], {}


def layer_norm(p, name, x):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p[f"{name}.scale"] + p[f"{name}.bias"]


def attend(task, p, name, x):
    batch, steps, width = x.shape
    three = [f"{name}.{part}" for part in ("query", "key", "value")]
    joined = x @ jnp.concatenate([p[f"{part}.kernel"] for part in three], 1) + jnp.concatenate([p[f"{part}.bias"] for part in three])
    q, k, v = (t.reshape(batch, steps, task["heads"], -1) for t in jnp.split(joined, 3, -1))
    y = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(batch, steps, width)
    return y @ p[f"{name}.output.kernel"] + p[f"{name}.output.bias"]


def gpt(task, p, x):
    h = p["token.table"][x] + p["position.table"][: x.shape[1]]
    for i in range(task["layers"]):
        name = f"block{i}"
        h = h + attend(task, p, f"{name}.attention.heads", layer_norm(p, f"{name}.attention.norm", h))
        up = layer_norm(p, f"{name}.feed.norm", h) @ p[f"{name}.feed.up.kernel"] + p[f"{name}.feed.up.bias"]
        h = h + jax.nn.gelu(up, approximate=False) @ p[f"{name}.feed.down.kernel"] + p[f"{name}.feed.down.bias"]
    return layer_norm(p, "norm", h) @ p["head.kernel"], {}


def conv(p, name, x, stride):
    pad = p[f"{name}.kernel"].shape[0] // 2
    return lax.conv_general_dilated(x, p[f"{name}.kernel"], (stride, stride), [(pad, pad)] * 2,
                                    dimension_numbers=("NHWC", "HWIO", "NHWC"))


def batch_norm(p, name, x, moments):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    n = x.size // x.shape[-1]
    for part, value in (("mean", mean), ("variance", variance * n / (n - 1))):
        moments[f"{name}.{part}"] = 0.9 * p[f"{name}.{part}"] + 0.1 * lax.stop_gradient(value)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p[f"{name}.scale"] + p[f"{name}.bias"]


def resnet(task, p, x):
    moments = {}
    h = jax.nn.relu(batch_norm(p, "norm", conv(p, "conv", x, 1), moments))
    for stage in range(task["layers"]):
        for block in range(task["blocks"]):
            name, stride = f"stage{stage}.{block}", 2 if stage > 0 and block == 0 else 1
            y = jax.nn.relu(batch_norm(p, f"{name}.norm1", conv(p, f"{name}.conv1", h, stride), moments))
            y = batch_norm(p, f"{name}.norm2", conv(p, f"{name}.conv2", y, 1), moments)
            if stride > 1:
                h = batch_norm(p, f"{name}.shortcut_norm", conv(p, f"{name}.shortcut", h, stride), moments)
            h = jax.nn.relu(y + h)
    return h.mean((1, 2)) @ p["head.kernel"] + p["head.bias"], moments


def loss_of(task):
    model = resnet if task["blocks"] else gpt if task["context"] else mlp

    def loss(trained, fixed, x, y):
        logits, moments = model(task, {**trained, **fixed}, x)
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1)
        return -picked.mean(), moments

    return loss


def sgd(task, p, g, slots, t):
    slots = {"b": jax.tree.map(lambda b, g: task["momentum"] * b + g, slots["b"], g)}
    return jax.tree.map(lambda p, b: p - task["learning_rate"] * b, p, slots["b"]), slots


def adam(task, p, g, slots, t):
    one, two, rate, decay = task["beta1"], task["beta2"], task["learning_rate"], task["weight_decay"]
    m = jax.tree.map(lambda m, g: one * m + (1 - one) * g, slots["m"], g)
    v = jax.tree.map(lambda v, g: two * v + (1 - two) * g * g, slots["v"], g)
    a, b = rate / (1 - one**t), 1 / jnp.sqrt(1 - two**t)
    if task["optimizer"] == "adamw":
        p = jax.tree.map(lambda p: p * (1 - rate * decay), p)
    return jax.tree.map(lambda p, m, v: p - a * m / (b * jnp.sqrt(v) + task["epsilon"]), p, m, v), {"m": m, "v": v}


OPTIMIZERS = {"sgd": (sgd, "b"), "adam": (adam, "mv"), "adamw": (adam, "mv")}


def step_of(task):
    loss, (update, _) = loss_of(task), OPTIMIZERS[task["optimizer"]]

    def step(state, x, y):
        (value, moments), gradients = jax.value_and_grad(loss, has_aux=True)(state["p"], state["fixed"], x, y)
        t = state["t"] + 1
        p, slots = update(task, state["p"], gradients, state["slots"], t.astype(value.dtype))
        return {"p": p, "fixed": moments, "slots": slots, "t": t}, value

    return jax.jit(step, donate_argnums=0)


def stepper(task, weights, x, y, compiled):
    jax.config.update("jax_default_matmul_precision", "highest")
    if x.dtype == "float64" or next(iter(weights.values())).dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    arrays = {k: jnp.asarray(w.transpose(2, 3, 1, 0) if w.ndim == 4 else w) for k, w in weights.items()}
    fixed = {k: w for k, w in arrays.items() if k.endswith((".mean", ".variance"))}
    trained = {k: w for k, w in arrays.items() if k not in fixed}
    slots = {name: jax.tree.map(jnp.zeros_like, trained) for name in OPTIMIZERS[task["optimizer"]][1]}
    state = {"p": trained, "fixed": fixed, "slots": slots, "t": jnp.zeros((), "int32")}
    xs = [jnp.asarray(b.transpose(0, 2, 3, 1) if task["blocks"] else b) for b in x]
    ys = [jnp.asarray(b) for b in y]
    run = step_of(task)

    def step(i):
        nonlocal state
        state, value = run(state, xs[i], ys[i])
        return float(jax.block_until_ready((state, value))[1])

    return step
