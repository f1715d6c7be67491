"""The models of benchmarks/training/models.c in PyTorch, as PyTorch's users write them.

PARTS of a model says which of Tenon's parameters stand in which of the module's, and how: "linear" transposed, "same"
as they are, "joined" several kernels or biases beside each other (one product for query, key and value).
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def linear(module, name):
    parts = [("linear", module.weight, [f"{name}.kernel"])]
    return parts + ([("same", module.bias, [f"{name}.bias"])] if module.bias is not None else [])


def norm(module, name):
    return [("same", module.weight, [f"{name}.scale"]), ("same", module.bias, [f"{name}.bias"])]


def batch_norm(module, name):
    return norm(module, name) + [("same", module.running_mean, [f"{name}.mean"]),
                                 ("same", module.running_var, [f"{name}.variance"])]


class MLP(nn.Module):
    def __init__(self, task):
        super().__init__()
        widths = [task["inputs"]] + [task["width"]] * task["layers"]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.head = nn.Linear(widths[-1], task["classes"])

    def forward(self, x):
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.head(x)

    def parts(self):
        return [part for i, layer in enumerate(self.hidden) for part in linear(layer, f"hidden{i}")] + linear(self.head, "head")


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x):
        batch, steps, width = x.shape
        q, k, v = (t.view(batch, steps, self.heads, -1).transpose(1, 2) for t in self.qkv(x).split(width, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, steps, width))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))

    def parts(self, name):
        three = [f"{name}.attention.heads.{part}." for part in ("query", "key", "value")]
        return (norm(self.norm1, f"{name}.attention.norm") + norm(self.norm2, f"{name}.feed.norm")
                + [("joined", self.qkv.weight, [f"{part}kernel" for part in three]),
                   ("joined", self.qkv.bias, [f"{part}bias" for part in three])]
                + linear(self.out, f"{name}.attention.heads.output")
                + linear(self.up, f"{name}.feed.up") + linear(self.down, f"{name}.feed.down"))


class GPT(nn.Module):
    def __init__(self, task):
        super().__init__()
        width = task["width"]
        self.token, self.position = nn.Embedding(task["classes"], width), nn.Embedding(task["context"], width)
        self.blocks = nn.ModuleList(Block(width, task["heads"]) for _ in range(task["layers"]))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, task["classes"], bias=False)

    def forward(self, x):
        h = self.token(x) + self.position.weight[: x.shape[1]]
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))

    def parts(self):
        return ([("same", self.token.weight, ["token.table"]), ("same", self.position.weight, ["position.table"])]
                + [part for i, block in enumerate(self.blocks) for part in block.parts(f"block{i}")]
                + norm(self.norm, "norm") + linear(self.head, "head"))


def conv3x3(inputs, filters, stride):
    return nn.Conv2d(inputs, filters, 3, stride, 1, bias=False)


class BasicBlock(nn.Module):
    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.conv1, self.norm1 = conv3x3(inputs, filters, stride), nn.BatchNorm2d(filters)
        self.conv2, self.norm2 = conv3x3(filters, filters, 1), nn.BatchNorm2d(filters)
        self.shortcut = self.shortcut_norm = None
        if stride > 1:
            self.shortcut = nn.Conv2d(inputs, filters, 1, stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(filters)

    def forward(self, x):
        h = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(h + (self.shortcut_norm(self.shortcut(x)) if self.shortcut else x))

    def parts(self, name):
        found = [("same", self.conv1.weight, [f"{name}.conv1.kernel"]), ("same", self.conv2.weight, [f"{name}.conv2.kernel"])]
        found += batch_norm(self.norm1, f"{name}.norm1") + batch_norm(self.norm2, f"{name}.norm2")
        if self.shortcut:
            found += [("same", self.shortcut.weight, [f"{name}.shortcut.kernel"])] + batch_norm(self.shortcut_norm, f"{name}.shortcut_norm")
        return found


class ResNet(nn.Module):
    def __init__(self, task):
        super().__init__()
        width = task["width"]
        self.conv, self.norm = conv3x3(3, width, 1), nn.BatchNorm2d(width)
        self.names, self.blocks = [], nn.ModuleList()
        for stage in range(task["layers"]):
            for block in range(task["blocks"]):
                is_smaller = stage > 0 and block == 0
                filters = width << stage
                self.names.append(f"stage{stage}.{block}")
                self.blocks.append(BasicBlock(filters // 2 if is_smaller else filters, filters, 2 if is_smaller else 1))
        self.head = nn.Linear(filters, task["classes"])

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))

    def parts(self):
        return ([("same", self.conv.weight, ["conv.kernel"])] + batch_norm(self.norm, "norm")
                + [part for name, block in zip(self.names, self.blocks) for part in block.parts(name)]
                + linear(self.head, "head"))


# From Tenon's arrays to the module's.
FORMS = {
    "same": lambda arrays: arrays[0],
    "linear": lambda arrays: arrays[0].T,
    "joined": lambda arrays: np.concatenate(arrays, -1).T,
}


def make(task, weights):
    """The module with weights by Tenon's names, each of which must be in use."""
    module = (ResNet if task["blocks"] else GPT if task["context"] else MLP)(task).to(
        {"float32": torch.float32, "float64": torch.float64}[next(iter(weights.values())).dtype.name])
    unused = set(weights)
    with torch.no_grad():
        for form, tensor, names in module.parts():
            tensor.copy_(torch.from_numpy(np.array(FORMS[form]([weights[name] for name in names]))))
            unused -= set(names)
    if unused:
        raise ValueError(f"the PyTorch model has no {sorted(unused)}")
    return module.train()


def optimizer(task, module):
    """The fastest of PyTorch's implementations."""
    if task["optimizer"] == "sgd":
        return torch.optim.SGD(module.parameters(), task["learning_rate"], momentum=task["momentum"], fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[task["optimizer"]]
    return kind(module.parameters(), task["learning_rate"], betas=(task["beta1"], task["beta2"]), eps=task["epsilon"],
                weight_decay=task["weight_decay"], fused=True)


def loss_of(module):
    def loss(x, y):
        logits = module(x)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1))

    return loss


def stepper(task, weights, x, y, compiled):
    """A function of the number of a batch that makes a step and returns its loss."""
    module = make(task, weights)
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    if task["context"]:
        x = x.long()
    if task["blocks"]:  # as PyTorch recommends for convolutions
        module = module.to(memory_format=torch.channels_last)
        x = [batch.contiguous(memory_format=torch.channels_last) for batch in x]
    loss, made = loss_of(module), optimizer(task, module)
    if compiled:
        loss = torch.compile(loss, dynamic=False)

    def step(i):
        made.zero_grad(set_to_none=True)
        value = loss(x[i], y[i])
        value.backward()
        made.step()
        return value.item()

    return step
