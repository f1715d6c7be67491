"""Loss curves of three small models in PyTorch, f64: the table in tests/nn_curves.inc.

    build/venv-bench/bin/python tests/tools/nn_curves.py > tests/nn_curves.inc

Models, weights, batches and optimizers are those of tests/nn_curves.c: parameters stand in the same order with the same
shapes, and are filled, like the data, by the same integer hash.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
STEPS = 50


def hash_numbers(n, key):
    """In [-1, 1)."""
    u = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(key * 40503 + 12345)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x45D9F3B), (16, 0x45D9F3B), (16, 1)):
        u = ((u ^ (u >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return u.astype(np.float64) / 2.0**31 - 1


def hash_classes(n, key, classes):
    return np.minimum(((hash_numbers(n, key) + 1) / 2 * classes).astype(np.int64), classes - 1)


class Parameters:
    def __init__(self):
        self.all = []

    def make(self, shape, center, spread):
        w = center + spread * hash_numbers(math.prod(shape), len(self.all))
        self.all.append(torch.tensor(w.reshape(shape)).requires_grad_())
        return self.all[-1]

    def kernel(self, *shape):
        fan = shape[0] if len(shape) == 2 else math.prod(shape[1:])
        return self.make(shape, 0, math.sqrt(3 / fan))

    def bias(self, n):
        return self.make((n,), 0, 0.1)

    def scale(self, n):
        return self.make((n,), 1, 0.1)


def numbers(shape, key):
    return torch.tensor(hash_numbers(math.prod(shape), key).reshape(shape))


def mlp():
    p = Parameters()
    layers = [(p.kernel(20, 32), p.bias(32)), (p.kernel(32, 32), p.bias(32)), (p.kernel(32, 10), p.bias(10))]
    optimizer = torch.optim.Adam(p.all, lr=0.01)

    def loss(step):
        x, t = numbers((16, 20), 1000 + step % 4), torch.tensor(hash_classes(16, 2000 + step % 4, 10))
        for i, (w, b) in enumerate(layers):
            x = x @ w + b
            x = torch.relu(x) if i == 0 else torch.tanh(x) if i == 1 else x
        return F.cross_entropy(x, t)

    return optimizer, loss


def resnet():
    p = Parameters()

    def conv_norm(c, o, taps):
        return p.kernel(o, c, taps, taps), p.scale(o), p.bias(o)

    stem, blocks, c = conv_norm(3, 8, 3), [], 8
    for o, stride in ((8, 1), (8, 1), (16, 2), (16, 1)):
        blocks.append((stride, conv_norm(c, o, 3), conv_norm(o, o, 3), conv_norm(c, o, 1) if stride > 1 else None))
        c = o
    head = p.kernel(c, 10), p.bias(10)
    optimizer = torch.optim.SGD(p.all, lr=0.05, momentum=0.9, weight_decay=5e-4)

    def run(x, layer, stride, pad):
        x = F.conv2d(x, layer[0], stride=stride, padding=pad)
        return F.batch_norm(x, None, None, layer[1], layer[2], training=True)

    def loss(step):
        x, t = numbers((8, 3, 8, 8), 1000 + step % 4), torch.tensor(hash_classes(8, 2000 + step % 4, 10))
        x = torch.relu(run(x, stem, 1, 1))
        for stride, a, b, shortcut in blocks:
            y = run(torch.relu(run(x, a, stride, 1)), b, 1, 1)
            x = torch.relu(y + (run(x, shortcut, stride, 0) if shortcut else x))
        return F.cross_entropy(x.mean((2, 3)) @ head[0] + head[1], t)

    return optimizer, loss


def gpt():
    p = Parameters()
    width, heads, steps, words = 32, 4, 16, 17
    table, positions = p.make((words, width), 0, 0.5), p.make((steps, width), 0, 0.5)
    blocks = []
    for _ in range(2):
        norm1 = p.scale(width), p.bias(width)
        qkvo = [(p.kernel(width, width), p.bias(width)) for _ in range(4)]
        norm2 = p.scale(width), p.bias(width)
        blocks.append((norm1, qkvo, norm2, (p.kernel(width, 4 * width), p.bias(4 * width)),
                       (p.kernel(4 * width, width), p.bias(width))))
    norm, head = (p.scale(width), p.bias(width)), p.kernel(width, words)
    matrices = [w for w in p.all if w.dim() >= 2]
    vectors = [w for w in p.all if w.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0}],
                                  lr=3e-3)

    def split(x):
        return x.reshape(4, steps, heads, width // heads).transpose(1, 2)

    def loss(step):
        x = torch.tensor(hash_classes(4 * steps, 1000 + step % 4, words).reshape(4, steps))
        t = torch.tensor(hash_classes(4 * steps, 2000 + step % 4, words).reshape(4, steps))
        x = table[x] + positions
        for norm1, qkvo, norm2, up, down in blocks:
            h = F.layer_norm(x, (width,), *norm1)
            q, k, v = (split(h @ w + b) for w, b in qkvo[:3])
            h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(4, steps, width)
            x = x + h @ qkvo[3][0] + qkvo[3][1]
            h = F.gelu(F.layer_norm(x, (width,), *norm2) @ up[0] + up[1])
            x = x + h @ down[0] + down[1]
        logits = F.layer_norm(x, (width,), *norm) @ head
        return F.cross_entropy(logits.reshape(-1, words), t.reshape(-1))

    return optimizer, loss


print(f"/* Made by tests/tools/nn_curves.py with PyTorch {torch.__version__}. */")
for make in (mlp, resnet, gpt):
    optimizer, loss = make()
    curve = []
    for step in range(STEPS):
        optimizer.zero_grad()
        value = loss(step)
        value.backward()
        optimizer.step()
        curve.append(value.item())
    rows = ",\n    ".join(", ".join("%.17g" % v for v in curve[i : i + 4]) for i in range(0, STEPS, 4))
    print(f"static const double {make.__name__}_curve[STEPS] = {{\n    {rows}}};")
