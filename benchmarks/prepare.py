#!/usr/bin/env python3
"""Makes the files of rows: prepare.py ROW...

in:  rows of models.py
out: for each one the ONNX file (exported from zoo.py, or one of build/models), for a model of zoo.py its module as
     a .pt file, the inputs as .npy files, and row.json, which names them (places.py)
law: what is there and newer than the definitions is left as it is; a file is complete when it has its name
"""
import json
import os
import sys
import zlib

import numpy as np
import onnx

import models
import places

DTYPES = {"f32": np.float32, "i64": np.int64, "i32": np.int32}
OPSET = 18


def fill(name, text):
    """The array that an entry of a row's inputs describes; its values follow from its name."""
    words = text.split()
    dtype = DTYPES[words.pop(0)]
    rule = words.pop() if words and words[-1][0] in "<=s" else None
    shape = [int(n) for n in words[0].split("x")] if words else []
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if rule == "strokes":
        return strokes(shape, rng).astype(dtype)
    if rule and rule[0] == "=":
        return np.full(shape, int(rule[1:]), dtype)
    if rule:
        return rng.integers(0, int(rule[1:]), shape).astype(dtype)
    return rng.uniform(-1, 1, shape).astype(dtype)


def strokes(shape, rng):
    """Looks enough like text that a detector finds some; on noise it finds nothing, and answers hardly above 0."""
    picture = np.ones(shape)
    for top in range(12, shape[2] - 20, 40):
        for left in range(20, shape[3] - 20, 6):
            height, width = rng.integers(8, 20), rng.integers(2, 4)
            picture[:, :, top : top + height, left : left + width] = -1
    return picture


def is_fresh(path, *sources):
    return os.path.exists(path) and all(os.path.getmtime(path) >= os.path.getmtime(s) for s in sources)


def export(row, arrays, path):
    """Exports the row's module, and keeps it."""
    import torch
    import zoo

    module = zoo.build(row.model)
    tensors = tuple(torch.from_numpy(array) for array in arrays)
    axes = zoo.SYMBOLS.get(row.model)
    shapes = None
    if axes:
        named = {axis: torch.export.Dim(name, min=2, max=512) for axis, name in axes.items()}
        shapes = tuple(dict(named) for _ in tensors)
    torch.onnx.export(module, tensors, path + ".new", input_names=list(row.inputs), dynamic_shapes=shapes,
                      opset_version=OPSET, dynamo=True, external_data=False, verbose=False)
    zoo.save(module, module_path(path))
    os.replace(path + ".new", path)


def module_path(path):
    return path.removesuffix(".onnx") + ".pt"


def prepare(row):
    folder = places.row_folder(row.name)
    os.makedirs(folder, exist_ok=True)
    is_exported = row.model in models.FROM_ZOO
    path = os.path.join(places.MODELS if is_exported else places.PUBLISHED, row.model + ".onnx")
    arrays = [fill(name, text) for name, text in row.inputs.items()]
    here = os.path.dirname(os.path.abspath(__file__))
    if is_exported and not is_fresh(path, os.path.join(here, "zoo.py")):
        print(f"exporting {row.model}", file=sys.stderr, flush=True)
        export(row, arrays, path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is not there (make deps)")
    files = []
    for i, (name, array) in enumerate(zip(row.inputs, arrays)):
        files.append([name, os.path.join(folder, f"in{i}.npy")])
        np.save(files[-1][1], array)
    outputs = [value.name for value in onnx.load(path, load_external_data=False).graph.output]
    told = {"model": path, "module": module_path(path) if is_exported else None, "inputs": files, "outputs": outputs}
    with open(places.row_file(row.name), "w") as file:
        json.dump(told, file, indent=1)


def main():
    status = 0
    for name in sys.argv[1:]:
        try:
            prepare(models.ROWS[name])
        except Exception as error:  # the exporters raise anything; the other rows go on
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            status = 1
    sys.exit(status)


main()
