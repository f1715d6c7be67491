"""PyTorch as it is written: the module, without gradients, convolutional models with channels last."""
import torch

import zoo
from peers import Skip

NAME = "torch"


def module_and_inputs(row, inputs, threads):
    """The saved module and its inputs, in the layout that PyTorch recommends."""
    if not row["module"]:
        raise Skip("no PyTorch definition of this file")
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.set_float32_matmul_precision("highest")
    module = zoo.load(row["module"])
    tensors = [torch.from_numpy(array) for array in inputs]
    if any(isinstance(part, torch.nn.Conv2d) for part in module.modules()):
        module = module.to(memory_format=torch.channels_last)
        tensors = [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]
    return module, tensors


def runner(module, tensors):
    results = []

    def run():
        with torch.inference_mode():
            results[:] = [module(*tensors)]

    def outputs():
        got = results[0] if isinstance(results[0], (tuple, list)) else [results[0]]
        return [tensor.numpy() for tensor in got]

    return run, outputs


def load(row, inputs, threads):
    return runner(*module_and_inputs(row, inputs, threads))
