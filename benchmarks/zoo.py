"""PyTorch modules of the benchmark, by name: the peers' own definitions, random weights from one seed.

in:  a name of BUILDERS
out: a module in eval mode
law: the same name gives the same weights in every process; nothing is fetched
"""
import functools
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import nn

SEED = 1


def import_torchvision():
    """torchvision registers shapes of operators that live in its CUDA library, which a CPU build of torch can't
    load; no classifier uses them."""
    register = torch.library.register_fake

    def register_others(op, *args, **kwargs):
        if isinstance(op, str) and op.startswith("torchvision::"):
            return lambda function: function
        return register(op, *args, **kwargs)

    torch.library.register_fake = register_others
    try:
        import torchvision
    finally:
        torch.library.register_fake = register
    return torchvision


def import_transformers():
    import_torchvision()  # transformers imports it where it is installed
    import transformers

    return transformers


# ---- Convolutional ---------------------------------------------------------------------------


def classifier(name):
    return getattr(import_torchvision().models, name)(weights=None)


class DsCnn(nn.Module):
    """Keyword spotting on 49x10 coefficients, depthwise separable."""

    def __init__(self, channels=64, blocks=4, classes=12):
        super().__init__()

        def convolution(inputs, *args, **kwargs):
            return [nn.Conv2d(inputs, channels, *args, bias=False, **kwargs), nn.BatchNorm2d(channels), nn.ReLU()]

        layers = convolution(1, (10, 4), 2, (5, 1))
        for _ in range(blocks):
            layers += convolution(channels, 3, 1, 1, groups=channels) + convolution(channels, 1)
        self.features = nn.Sequential(*layers)
        self.classes = nn.Linear(channels, classes)

    def forward(self, spectrum):
        return self.classes(self.features(spectrum).mean((2, 3)))


# ---- Transformers ----------------------------------------------------------------------------


class Encoder(nn.Module):
    """A BERT encoder; its last hidden state."""

    def __init__(self, **config):
        super().__init__()
        transformers = import_transformers()
        self.bert = transformers.BertModel(transformers.BertConfig(**config), add_pooling_layer=False)

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def minilm():
    return Encoder(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)


def vision_transformer():
    model = classifier("vit_b_16")
    nn.init.normal_(model.heads.head.weight, 0, 0.02)  # fresh it is 0, and so would be all outputs
    return model


class Gpt2(nn.Module):
    """Logits of all given tokens, and the keys and values to go on from; `past` is keys and values, layer by layer."""

    def __init__(self):
        super().__init__()
        transformers = import_transformers()
        self.gpt = transformers.GPT2LMHeadModel(transformers.GPT2Config())

    def forward(self, input_ids, *past):
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        result = self.gpt(input_ids=input_ids, past_key_values=cache, use_cache=True)
        layers = result.past_key_values.layers
        return (result.logits, *(tensor for layer in layers for tensor in (layer.keys, layer.values)))


# ---- Others ----------------------------------------------------------------------------------


class Lstm(nn.Module):
    def __init__(self, inputs=64, hidden=256, layers=2):
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, layers)
        self.head = nn.Linear(hidden, 32)

    def forward(self, sequence):
        return self.head(self.lstm(sequence)[0])


def mlp():
    sizes = (784, 512, 512, 10)
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class Negation(nn.Module):
    def forward(self, x):
        return -x


BUILDERS = {
    "resnet50": functools.partial(classifier, "resnet50"),
    "resnet18": functools.partial(classifier, "resnet18"),
    "mobilenet_v2": functools.partial(classifier, "mobilenet_v2"),
    "efficientnet_b0": functools.partial(classifier, "efficientnet_b0"),
    "squeezenet1_1": functools.partial(classifier, "squeezenet1_1"),
    "densenet121": functools.partial(classifier, "densenet121"),
    "vit_b_16": vision_transformer,
    "bert_base": Encoder,
    "minilm_l6": minilm,
    "minilm_l6_any": minilm,
    "gpt2_prefill": Gpt2,
    "gpt2_token": Gpt2,
    "lstm": Lstm,
    "ds_cnn": DsCnn,
    "mlp_1": mlp,
    "mlp_128": mlp,
    "identity": Negation,
}

# Those that need nothing but PyTorch.
OWN = ("lstm", "ds_cnn", "mlp_1", "mlp_128", "identity")

# Models that are exported with sizes left open: the name of each axis of every input.
SYMBOLS = {"minilm_l6_any": {1: "sequence"}}


def randomise_statistics(model):
    """Batch normalisation that does something: fresh modules have mean 0 and variance 1."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.7, 1.4)


def build(name):
    torch.manual_seed(SEED)
    model = BUILDERS[name]()
    randomise_statistics(model)
    return model.eval().requires_grad_(False)


def save(model, path):
    torch.save(model, path)


def load(path):
    """A saved module; the libraries of its classes are imported first."""
    if os.path.basename(path).removesuffix(".pt") not in OWN:
        import_torchvision()
    return torch.load(path, weights_only=False, mmap=True)
