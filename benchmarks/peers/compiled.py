"""torch.compile as its documentation recommends for inference on CPUs: frozen weights, best kernels by trial.

The first round compiles with an empty cache and counts as loading; the later ones take what that left.
"""
import os
import shutil

import torch

from peers import Skip, eager

NAME = "torch.compile"


def load(row, inputs, threads):
    if not shutil.which("g++"):
        raise Skip("no g++, which it compiles with")
    if not row["module"]:
        raise Skip("no PyTorch definition of this file")
    import torch._inductor.config as config

    config.freezing = True
    config.max_autotune = True
    config.cpp.threads = threads
    module, tensors = eager.module_and_inputs(row, inputs, threads)
    return eager.runner(torch.compile(module, dynamic=False), tensors)


def is_cold():
    return not os.path.exists(os.environ["TORCHINDUCTOR_CACHE_DIR"])
