"""Exported models beside ONNX's own checker and ONNX Runtime.

    export_check.py samples FOLDER      what tests/onnx_export.c kept: models, inputs, the interpreter's outputs
    export_check.py models FOLDER EXPORTED CASES
                                        models and what was exported of them, on the inputs of cases.txt: ONNX
                                        Runtime's outputs must be the same

Prints one line for what is wrong, and a closing line of numbers; the exit status says whether anything was.
"""

import collections
import multiprocessing
import os
import signal
import sys
import warnings

import ml_dtypes
import numpy as np
import onnx
import onnxruntime

DTYPES = {
    "bool": np.bool_, "i8": np.int8, "u8": np.uint8, "i16": np.int16, "u16": np.uint16, "i32": np.int32,
    "u32": np.uint32, "i64": np.int64, "u64": np.uint64, "f16": np.float16, "bf16": ml_dtypes.bfloat16,
    "f32": np.float32, "f64": np.float64,
}  # fmt: skip
# What ONNX Runtime must have; in others it lacks kernels here and there.
COMMON = {"bool", "i32", "i64", "f32"}


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def differs(got, want, tolerance):
    """Where a result is wrong, in words; or None."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    if want.dtype.kind in "biu":
        wrong = (got != want) & np.isfinite(tolerance)
    else:
        a, b = got.astype(np.float64), want.astype(np.float64)
        with np.errstate(all="ignore"):
            near = np.abs(a - b) <= tolerance
        wrong = ~(near | (a == b) | (np.isnan(a) & np.isnan(b)) | ~np.isfinite(tolerance))
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"element {at} is {got[at]}, not {want[at]} ({int(wrong.sum())} of {wrong.size} differ)"


def read_sample(folder):
    inputs, outputs = {}, []
    for line in open(os.path.join(folder, "about")):
        kind, name, dtype, *dims = line.split()
        shape = [int(d) for d in dims]
        which = len(inputs) if kind == "in" else len(outputs)
        data = np.fromfile(os.path.join(folder, f"{kind}{which}"), DTYPES[dtype]).reshape(shape)
        if kind == "in":
            inputs[name] = data
        else:
            tolerance = np.fromfile(os.path.join(folder, f"tolerance{which}"), np.float64).reshape(shape)
            outputs.append((name, data, tolerance))
    return inputs, outputs


def run_sample(folder, made):
    inputs, outputs = read_sample(folder)
    given = {i.name for i in made.get_inputs()}
    values = {k: onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(v, 16) if v.dtype == DTYPES["bf16"] else
              onnxruntime.OrtValue.ortvalue_from_numpy(v) for k, v in inputs.items() if k in given}
    got = made.run_with_ort_values([o[0] for o in outputs], values)
    for (name, want, tolerance), value in zip(outputs, got):
        if want.dtype == DTYPES["bf16"]:
            continue
        text = differs(value.numpy(), want, tolerance)
        if text:
            return f"{name} {text}"
    return None


def is_empty(folder):
    """Some tensor has no elements: ONNX Runtime refuses that here and there, or expands 1 to 0 as 1."""
    inputs, outputs = read_sample(folder)
    return any(v.size == 0 for v in list(inputs.values()) + [o[1] for o in outputs])


def try_sample(folder):
    """An outcome ("right", "wrong", "not there", "empty") and what is to be said of it, or None."""
    dtype = folder.rsplit("-", 1)[1]
    with open(os.path.join(folder, "model0"), "rb") as file:
        model = file.read()
    try:
        onnx.checker.check_model(onnx.load_model_from_string(model), full_check=True)
    except Exception as error:
        return "wrong", f"checker: {str(error)[:300]}"
    try:
        text = run_sample(folder, session(model))
        return "wrong" if text else "right", text
    except Exception as error:
        text = str(error).replace("\n", " ")[:300]
    if "NOT_IMPLEMENTED" in text and dtype not in COMMON:
        return "not there", text
    return "empty" if is_empty(folder) else "wrong", text


def try_samples(folders, results):
    for folder in folders:
        results.send(try_sample(folder))
    results.close()


def outcomes(folders):
    """try_sample of each in turn, in another process: where that dies, the sample at hand is "stopped" (of empty tensors)
    or "wrong", and a new one goes on behind it."""
    apart = multiprocessing.get_context("fork")
    while folders:
        results, end = apart.Pipe(duplex=False)
        worker = apart.Process(target=try_samples, args=(folders, end))
        worker.start()
        end.close()
        done = 0
        try:
            while done < len(folders):
                yield folders[done], *results.recv()
                done += 1
        except EOFError:
            worker.join()
            signal_name = signal.Signals(-worker.exitcode).name if worker.exitcode < 0 else f"exit {worker.exitcode}"
            text = f"ONNX Runtime itself stops at it ({signal_name})"
            yield folders[done], "stopped" if is_empty(folders[done]) else "wrong", text
            done += 1
        worker.join()
        folders = folders[done:]


def samples(root):
    counts = collections.Counter()
    lacking = collections.defaultdict(set)
    for folder, outcome, text in outcomes([os.path.join(root, name) for name in sorted(os.listdir(root))]):
        name = os.path.basename(folder)
        _, op, dtype = name.rsplit("-", 2)
        counts[outcome] += 1
        if outcome == "not there":
            lacking[dtype].add(op)
        elif outcome in ("wrong", "stopped"):
            print(f"{outcome} {name}: {text}", flush=True)
    for dtype, ops in sorted(lacking.items()):
        print(f"not in ONNX Runtime in {dtype}: {' '.join(sorted(ops))}")
    print(f"{counts['right']} right, {counts['wrong']} wrong, {counts['not there']} not in ONNX Runtime, "
          f"{counts['empty']} of empty tensors refused by it, {counts['stopped']} stop it")
    return counts["wrong"] == 0 and counts["right"] > 0


def read_cases(path):
    """Inputs of the first case of each model, from tests/models/cases.txt: seeded, though not by its own rule."""
    cases, model = {}, None
    for line in open(path):
        fields = line.split()
        if fields[:1] == ["case"]:
            model = fields[2] if fields[2] not in cases else None
            cases.setdefault(fields[2], {})
        elif fields[:1] == ["in"] and model:
            _, name, dtype, shape, source = fields
            dims = [] if shape == "-" else [int(d) for d in shape.split("x")]
            kind, *rest = source.split(":")
            random = np.random.default_rng(7)
            if kind == "value":
                data = np.full(dims, float(rest[0]))
            elif kind == "uniform":
                data = random.uniform(float(rest[1]), float(rest[2]), dims)
                data = np.floor(data) if dtype[0] in "iu" else data
            else:
                data = random.uniform(-1, 1, dims)
            cases[model][name] = data.astype(DTYPES[dtype])
    return cases


def compare_models(first, second, given):
    """Two models on the same inputs; what is wrong, or None."""
    onnx.checker.check_model(second, full_check=True)
    a, b = session(first), session(second)
    names, worst = [o.name for o in a.get_outputs()], 0
    if names != [o.name for o in b.get_outputs()]:
        return f"outputs are {[o.name for o in b.get_outputs()]}, not {names}"
    for name, x, y in zip(names, a.run(None, given), b.run(None, given)):
        if x.shape != y.shape or x.dtype != y.dtype:
            return f"{name} is {y.dtype}{list(y.shape)}, not {x.dtype}{list(x.shape)}"
        if x.size == 0:
            continue
        scale, gap = np.abs(x.astype(np.float64)).max(), np.abs(x.astype(np.float64) - y.astype(np.float64)).max()
        if not gap <= 1e-4 * scale + 1e-6:
            return f"{name} differs by {gap:.3g}, its largest element is {scale:.3g}"
        worst = max(worst, gap / scale if scale else 0)
    print(f"{os.path.basename(first)}: largest difference {worst:.1e} of an output's largest element")
    return None


def models(folder, exported, cases):
    wrong = seen = 0
    for model, given in read_cases(cases).items():
        pair = os.path.join(folder, model), os.path.join(exported, model)
        if not all(os.path.exists(p) for p in pair):
            continue
        seen += 1
        try:
            text = compare_models(*pair, given)
        except Exception as error:
            text = str(error).replace("\n", " ")[:300]
        if text:
            print(f"{model}: {text}")
            wrong += 1
    print(f"{seen - wrong} right, {wrong} wrong")
    return seen > 0 and wrong == 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    what = {"samples": samples, "models": models}[sys.argv[1]]
    sys.exit(0 if what(*sys.argv[2:]) else 1)
