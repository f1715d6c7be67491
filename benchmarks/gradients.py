#!/usr/bin/env python3
"""Gradients beside PyTorch's: gradients.py [--tenon PROGRAM] [--only OP] [-o FILE.md]

For each case of gradient_cases.py a module of Tenon's is written whose loss is the op's result times fixed weights, all
added; `tenon grad` differentiates it, `tenon run` compiles and runs that, and torch.autograd does the same. The
largest difference is as a part of the gradient's largest number. At ties and edges each element is compared; where
they differ, both are shown.

Runs in the benchmark's environment (build/venv-bench). The exit status says whether a case that is no edge differs.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile

import numpy as np
import torch

from gradient_cases import CASES, EDGES

DTYPES = {"f64": (np.float64, torch.float64, 1e-11), "f32": (np.float32, torch.float32, 5e-5)}
NAMES = {"float64": "f64", "float32": "f32", "int64": "i64", "bool": "bool"}


def typed(case, dtype):
    return {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in case.inputs.items()}


def type_text(a):
    return f"{NAMES[a.dtype.name]}[{', '.join(map(str, a.shape))}]"


def module_text(case, inputs, weights, name):
    """A module whose main function has the loss, and the op's result."""
    params = ", ".join(f"%{k}: {type_text(v)}" for k, v in {**inputs, "weights": weights}.items())
    axes = list(range(weights.ndim))
    functions = case.functions.format(t=name)
    return (
        f'module "case"\nfn @main({params}) -> (%loss: {name}[]) {{\n{case.text.format(t=name)}\n'
        f"%weighted = mul %y, %weights\n%loss = reduce %weighted, axes={axes}, kind=sum\nreturn %loss\n"
        f"{functions}}}\n"
    )


def weights_for(case, shape, dtype):
    if case in EDGES:
        return np.ones(shape, dtype)
    return np.random.default_rng(5).uniform(0.5, 1.5, shape).astype(np.float32).astype(dtype)


def by_torch(case, inputs, dtype):
    """Weights of the result, and the gradients."""
    values = {}
    for name, value in inputs.items():
        values[name] = torch.from_numpy(np.array(value)).requires_grad_(value.dtype.kind == "f")
    result = case.function(*values.values())
    weights = weights_for(case, tuple(result.shape), dtype)
    (result * torch.from_numpy(weights)).sum().backward()
    zero = {k: np.zeros_like(v) for k, v in inputs.items()}
    return weights, {k: v.grad.numpy() if v.grad is not None else zero[k] for k, v in values.items() if v.requires_grad}


def by_tenon(program, case, inputs, weights, name, folder):
    """The gradients; or what the program said instead."""
    path, derived = os.path.join(folder, "case.tn"), os.path.join(folder, "grad.tn")
    wanted = [k for k, v in inputs.items() if v.dtype.kind == "f"]
    open(path, "w").write(module_text(case, inputs, weights, name))
    call = [program, "grad", path, "--wrt", ",".join(wanted), "-o", derived]
    made = subprocess.run(call, capture_output=True, text=True)
    if made.returncode != 0:
        return made.stderr.strip().replace(f"{path}:3: error: ", "")
    call = [program, "run", derived, "--output-dir", folder, "--threads", "1"]
    for k, v in {**inputs, "weights": weights}.items():
        np.save(os.path.join(folder, f"in_{k}.npy"), v)
        call += ["--input", f"{k}={folder}/in_{k}.npy"]
    ran = subprocess.run(call, capture_output=True, text=True)
    if ran.returncode != 0:
        return ran.stderr.strip().replace(folder, "")
    return {k: np.load(os.path.join(folder, f"d_{k}.npy")) for k in wanted}


def difference(got, want):
    """The largest, as a part of the largest number; infinite where infinities or NaNs do not meet."""
    if got.shape != want.shape:
        return np.inf
    got, want = got.astype(np.float64), want.astype(np.float64)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    if not (same | (np.isfinite(got) & np.isfinite(want))).all():
        return np.inf
    finite = np.isfinite(want)
    scale = np.abs(want[finite]).max(initial=0)
    return float(np.abs(got[~same] - want[~same]).max(initial=0) / (scale if scale > 0 else 1))


def run_case(program, case, folder):
    """Largest difference by dtype, or a message; and the gradients of the first that differs."""
    worst, shown = {}, None
    for name, (dtype, _, bound) in DTYPES.items():
        inputs = typed(case, dtype)
        weights, want = by_torch(case, inputs, dtype)
        got = by_tenon(program, case, inputs, weights, name, folder)
        if isinstance(got, str):
            return got, None
        worst[name] = max((difference(got[k], want[k]) for k in want), default=0.0)
        if worst[name] > bound and not shown:
            bad = max(want, key=lambda k: difference(got[k], want[k]))
            shown = (name, bad, got[bad], want[bad], weights)
    return worst, shown


def numbers_text(a):
    return np.array2string(a, precision=6, separator=", ", threshold=12).replace("\n", " ")


def figure(x):
    return "0" if x == 0 else "different" if np.isinf(x) else f"{x:.1e}"


def title(case):
    return f"`{case.op}`" + (f", {case.note}" if case.note else "")


HEAD = """# Gradients beside PyTorch's

Made by `benchmarks/gradients.py`; the figures are a measurement of {date}, with PyTorch {torch} on {machine}.

    build/venv-bench/bin/python benchmarks/gradients.py -o docs/GRADIENTS.md

Each row is the gradient of the sum of an op's result times fixed weights, computed by `tenon grad` and `tenon run`
(compiled) and by `torch.autograd` from the same inputs: the largest difference of all inputs' gradients, as a part of
the gradient's largest number, in f64 and in f32.

| op | f64 | f32 |
| --- | --- | --- |
"""

EDGE_HEAD = """
## Ties and edges

Where an op has no derivative, or an infinite one, or where a formula could overflow. "as PyTorch" means the same
number, infinity or NaN in each element; else both are shown, in f64. The loss is the sum of the result.

| op | x | gradient |
| --- | --- | --- |
"""


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tenon", default="build/tenon")
    options.add_argument("--only", help="cases of one op")
    options.add_argument("-o", "--output", help="where the tables go")
    given = options.parse_args()
    rows, edges, n_wrong = [], [], 0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES + EDGES:
            if given.only and case.op != given.only:
                continue
            worst, shown = run_case(given.tenon, case, folder)
            is_edge = case in EDGES
            if isinstance(worst, str) or shown:
                n_wrong += not is_edge
                print(f"{case.op} ({case.note}): {worst}")
                if shown:
                    name, k, got, want, weights = shown
                    print(f"    d_{k} in {name}: {numbers_text(got)}\n    PyTorch: {numbers_text(want)}")
            if is_edge:
                inputs = "; ".join(f"{k} {numbers_text(v)}" for k, v in case.inputs.items())
                text = "refused: " + worst.split(", but ")[-1] if isinstance(worst, str) else "as PyTorch"
                if shown:
                    text = f"{shown[1]}: {numbers_text(shown[2])}, PyTorch {numbers_text(shown[3])}"
                edges.append(f"| {title(case)} | {inputs} | {text} |\n")
            elif isinstance(worst, str):
                rows.append(f"| {title(case)} | {worst} | |\n")
            else:
                rows.append(f"| {title(case)} | {figure(worst['f64'])} | {figure(worst['f32'])} |\n")
    if given.output:
        head = HEAD.format(date=datetime.date.today().isoformat(), torch=torch.__version__, machine=platform.machine())
        open(given.output, "w").write(head + "".join(rows) + EDGE_HEAD + "".join(edges))
    print(f"{len(rows)} cases, {n_wrong} wrong; {len(edges)} edges")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
