#!/usr/bin/env python3
"""What it takes to deploy a model that was compiled ahead of time: `make bench-deploy`, with BENCH_ARGS for what follows.

    deploy.py [--rounds 20] [--realtime] [--docs] [--note TEXT] [--out DIR]

Measured are bytes (code, weights, shared libraries) beside those of other systems' packages as they are installed here,
the time from the start of a process to MobileNetV2's first output on one core, all programs in turns, and how much memory
a process holds. --docs writes docs/AOT_BENCH.md.
"""
import argparse
import glob
import importlib.metadata
import importlib.util
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import deploy_report
import machine
import measure
import models
import places

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "deploy")
CC = shlex.split(os.environ.get("CC", "cc"))
SIZE_TARGET = "x86-64-v3"
TOLERANCE = 1e-3  # of the largest value that is compared

# Title; input, output, their elements.
MODELS = {
    "mnist_mlp": ("MLP 784-128-10", "x", 784, "probs", 10),
    "ds_cnn": ("DS-CNN, keyword", "spectrum", 490, "linear", 12),
    "mobilenet_v2": ("MobileNetV2", "image", 3 * 224 * 224, "linear", 1000),
}
# Training steps: title, words for `tenon train`; the models are those of rows, with batches of their size.
STEPS = {
    "digits": ("digits of `tenon train`: CNN, batch 32, AdamW", ["digits", "--batch", "32"]),
    "mlp_step": ("MLP 784-128-10, batch 1, SGD", ["--onnx", "mnist_mlp", "--loss", "mse", "--optimizer", "sgd"]),
    "mobilenet_step": ("MobileNetV2, batch 1, SGD", ["--onnx", "mobilenet_v2", "--loss", "mse", "--optimizer", "sgd"]),
}
# Runtimes of peers: what is measured, and of which packages.
PACKAGES = {
    "ONNX Runtime, Python package": ("onnxruntime",),
    "OpenVINO, Python package": ("openvino",),
    "PyTorch (CPU), Python package": ("torch",),
    "jaxlib, Python package": ("jaxlib",),
}


def run(command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode:
        sys.exit(f"deploy: {' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


# ---- Models ------------------------------------------------------------------------------------


def write_mlp(path):
    """A network of the size that MNIST is usually read with; weights of chance."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {"w1": rng.normal(0, 0.05, (784, 128)), "b1": rng.normal(0, 0.05, 128),
               "w2": rng.normal(0, 0.1, (128, 10)), "b2": rng.normal(0, 0.1, 10)}
    nodes = [helper.make_node("Gemm", ["x", "w1", "b1"], ["sums"]), helper.make_node("Relu", ["sums"], ["hidden"]),
             helper.make_node("Gemm", ["hidden", "w2", "b2"], ["logits"]),
             helper.make_node("Softmax", ["logits"], ["probs"], axis=1)]
    graph = helper.make_graph(nodes, "mnist_mlp", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 784])],
                              [helper.make_tensor_value_info("probs", TensorProto.FLOAT, [1, 10])],
                              [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def model_file(name, folder):
    if name == "mnist_mlp":
        path = os.path.join(folder, name + ".onnx")
        write_mlp(path)
        return path
    wrong = measure.prepare(models.ROWS[name])
    if wrong:
        sys.exit(f"deploy: {name}: {wrong}")
    return os.path.join(places.MODELS, name + ".onnx")


def compile_model(model, name, folder, *options):
    """The object's path, without .o."""
    os.makedirs(folder, exist_ok=True)
    run([places.TENON, "compile", model, "-o", os.path.join(folder, name), *options])
    return os.path.join(folder, name)


def link(name, folder, source, program, *options):
    run([*CC, "-O1", "-I", folder, *options, source, os.path.join(folder, name + ".o"), "-o", program])
    return program


def memory_options(name):
    _, x, n_x, y, n_y = MODELS[name]
    return [f'-DHEADER="{name}.h"', f"-DNAME={name}", f"-DARENA={name.upper()}_ARENA_BYTES", f"-DINPUT={x}",
            f"-DINPUTS={n_x}", f"-DOUTPUT={y}", f"-DOUTPUTS={n_y}"]


# ---- Bytes ---------------------------------------------------------------------------------------


def section_bytes(path):
    """Of an object what a program gets of it: code, and data that are only read."""
    code = data = 0
    for line in run(["size", "-A", path]).splitlines():
        words = line.split()
        if len(words) != 3 or not words[1].isdigit() or not words[0].startswith("."):
            continue
        if words[0].startswith(".text"):
            code += int(words[1])
        elif not words[0].startswith((".note", ".comment", ".debug")):
            data += int(words[1])
    return code, data


def needed_libraries(program):
    return [line.split("[")[1].split("]")[0] for line in run(["readelf", "-d", program]).splitlines() if "(NEEDED)" in line]


def undefined_symbols(path):
    return sorted(line.split()[-1] for line in run(["nm", "-u", path]).splitlines() if line.split())


def measure_sizes(name, model, folder):
    path = compile_model(model, name, os.path.join(folder, "file"), "--weights", "file", "--target", SIZE_TARGET)
    code, data = section_bytes(path + ".o")
    told = {"code": code, "data": data, "header": os.path.getsize(path + ".h"), "onnx": os.path.getsize(model),
            "weights": os.path.getsize(path + ".weights"), "undefined": undefined_symbols(path + ".o")}
    embedded = os.path.join(folder, "embedded")
    compile_model(model, name, embedded, "--target", SIZE_TARGET)
    source = os.path.join(HERE, "memory.c")
    program = link(name, embedded, source, os.path.join(folder, name), *memory_options(name))
    told["needed"] = needed_libraries(program)
    program = link(name, embedded, source, os.path.join(folder, name + "-static"), "-static", *memory_options(name))
    told["needed_static"] = needed_libraries(program)
    return told


def step_program(name):
    """Prints the bytes of a step's state and arena."""
    return (f'#include "{name}.h"\n#include <stdio.h>\nint main(void) {{ '
            f'printf("%zu %lld\\n", sizeof({name}_state), (long long){name.upper()}_ARENA_BYTES); }}\n')


def measure_step(name, words, files, folder):
    base = os.path.join(folder, name)
    run([places.TENON, "train", *(files.get(word, word) for word in words), "--step", base])
    path = compile_model(base + ".tn", name, os.path.join(folder, "steps"), "--entry", "train_step", "--states",
                         base + ".safetensors", "--weights", "file", "--target", SIZE_TARGET)
    code, data = section_bytes(path + ".o")
    run([*CC, "-I", os.path.dirname(path), "-x", "c", "-", "-o", base], input=step_program(name))
    state, arena = map(int, run([base]).split())
    return {"code": code, "data": data, "header": os.path.getsize(path + ".h"), "state": state, "arena": arena,
            "undefined": undefined_symbols(path + ".o")}


def package_bytes(name):
    """What its installation has brought, less what Python has compiled since; None: it is not installed."""
    try:
        files = importlib.metadata.distribution(name).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (file.locate() for file in files if not str(file).endswith(".pyc"))
    return sum(os.path.getsize(path) for path in paths if os.path.exists(path))


def ort_library():
    spec = importlib.util.find_spec("onnxruntime")
    found = glob.glob(os.path.join(os.path.dirname(spec.origin), "capi", "libonnxruntime.so*")) if spec else []
    return found[0] if found else None


def measure_peers():
    library = ort_library()
    told = {"ONNX Runtime, shared library alone": os.path.getsize(library) if library else None}
    for title, names in PACKAGES.items():
        sizes = [package_bytes(name) for name in names]
        told[title] = None if None in sizes else sum(sizes)
    return told


# ---- Cold start ------------------------------------------------------------------------------------


def start_once(command, environment):
    """Milliseconds to the first output and to the end, of processor time, page faults, and the first values."""
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_CLOSE, reader)]
    begin = time.monotonic_ns()
    child = os.posix_spawn(command[0], command, environment, file_actions=actions)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    _, status, used = os.wait4(child, 0)
    end = time.monotonic_ns()
    if status:
        sys.exit(f"deploy: {' '.join(command)}: status {status}")
    lines = text.splitlines() or [str(end)]
    stamp, *values = lines[0].split()
    stages = [begin, *map(int, lines[1].split()), int(stamp), end] if len(lines) > 1 else []
    return {"first": (int(stamp) - begin) / 1e6, "whole": (end - begin) / 1e6,
            "processor": (used.ru_utime + used.ru_stime) * 1e3, "faults": used.ru_minflt + used.ru_majflt,
            "values": [float(v) for v in values[:4]],
            "stages": [(b - a) / 1e6 for a, b in zip(stages, stages[1:])]}


def write_peers_models(model, dims, folder):
    """ONNX Runtime's optimised graph, and PyTorch's module as frozen TorchScript; None where there is none."""
    optimised, script = os.path.join(folder, "optimised.onnx"), os.path.join(folder, "mobilenet_v2.ts")
    code = ("import sys, onnxruntime as o\ns = o.SessionOptions()\ns.optimized_model_filepath = sys.argv[2]\n"
            "s.log_severity_level = 3\no.InferenceSession(sys.argv[1], s, providers=['CPUExecutionProvider'])\n")
    run([sys.executable, "-c", code, model, optimised])
    code = ("import sys, torch\nsys.path.insert(0, sys.argv[1])\nimport zoo\nm = zoo.load(sys.argv[2]).eval()\n"
            "x = torch.zeros([int(n) for n in sys.argv[4].split('x')])\n"
            "torch.jit.save(torch.jit.freeze(torch.jit.trace(m, x)), sys.argv[3])\n")
    run([sys.executable, "-c", code, os.path.dirname(HERE), model.removesuffix(".onnx") + ".pt", script, dims])
    return optimised, script


def start_programs(model, folder):
    """Title, command, environment."""
    import numpy as np

    with open(places.row_file("mobilenet_v2")) as file:
        (name, array), output = (lambda row: (row["inputs"][0], row["outputs"][0]))(json.load(file))
    data = np.load(array).astype(np.float32)
    dims, raw = "x".join(map(str, data.shape)), os.path.join(folder, "image.raw")
    data.tofile(raw)
    path = compile_model(model, "mobilenet_v2", os.path.join(folder, "start"), "--weights", "file")
    source, base = os.path.join(HERE, "mobilenet.c"), dict(os.environ)
    empty = os.path.join(folder, "empty")
    run([*CC, "-O1", "-x", "c", "-", "-o", empty], input="int main(void) { return 0; }\n")
    yield "a C program that does nothing", [empty], base
    for title, options in (("Tenon, ahead of time", ()), ("the same, linked with -static", ("-static",))):
        program = os.path.join(folder, "mobilenet" + "".join(options))
        link("mobilenet_v2", os.path.dirname(path), source, program, *options)
        yield title, [program, path + ".weights", raw], base
    optimised, script = write_peers_models(model, dims, folder)
    ort, given = os.path.join(places.BUILD, "bench", "start-ort"), [name, dims, raw, output]
    with_library = {**base, "ORT_LIBRARY": ort_library() or ""}
    yield "ONNX Runtime, C", [ort, model, *given], with_library
    yield "ONNX Runtime, C, graph optimised before", [ort, optimised, *given], with_library
    ort_python = os.path.join(os.path.dirname(HERE), "start", "ort.py")
    yield "ONNX Runtime, Python", [sys.executable, ort_python, model, *given], base
    yield "PyTorch, Python", [sys.executable, os.path.join(HERE, "torchscript.py"), script, dims, raw], base


def check_values(title, own, values):
    largest = max(abs(v) for v in own)
    if values and any(abs(a - b) > TOLERANCE * largest for a, b in zip(own, values)):
        sys.exit(f"deploy: {title} computes {values}, Tenon {own}")


def summary(all_told):
    def of(values):
        return {"median": statistics.median(values), "least": min(values)}

    keys = ("first", "whole", "processor", "faults")
    return {**{key: of([told[key] for told in all_told]) for key in keys},
            "stages": [of(stage) for stage in zip(*(told["stages"] for told in all_told))]}


def measure_start(model, args, folder):
    programs = list(start_programs(model, folder))
    taken = {title: [] for title, _, _ in programs}
    os.sched_setaffinity(0, machine.cores()[-1:])  # programs inherit both
    if args.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    for number in range(args.rounds + 1):
        for title, command, environment in programs:
            told = start_once(command, environment)
            if number:  # the first fills the system's cache
                taken[title].append(told)
    own = taken["Tenon, ahead of time"][0]["values"]
    for title, all_told in taken.items():
        check_values(title, own, all_told[0]["values"])
    return {title: summary(all_told) for title, all_told in taken.items()}


# ---- Memory ----------------------------------------------------------------------------------------------


def defined_number(header, name):
    with open(header) as file:
        return next(int(line.split()[2]) for line in file if line.startswith(f"#define {name} "))


def resident(program):
    """Which pages of a program's file the system maps beside those that are touched differs by some from run to run."""
    return min([int(n) for n in run([program]).split()] for _ in range(9))


def measure_memory(name, model, folder, empty):
    """Bytes resident beyond those of a program without a model, and what they should be at most."""
    path = compile_model(model, name, os.path.join(folder, "memory"), "--target", SIZE_TARGET)
    program = link(name, os.path.dirname(path), os.path.join(HERE, "memory.c"), os.path.join(folder, name + "-memory"),
                   "-static", *memory_options(name))
    rss, most = resident(program)
    _, _, n_in, _, n_out = MODELS[name]
    return {"resident": rss - empty[0], "most": most - empty[1], "tensors": 4 * (n_in + n_out),
            "arena": defined_number(path + ".h", name.upper() + "_ARENA_BYTES")}


# ---- All of it -----------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(prog="deploy")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--realtime", action="store_true", help="nothing comes between what is started: where others work too")
    parser.add_argument("--docs", action="store_true", help="write docs/AOT_BENCH.md")
    parser.add_argument("--note", default="", help="a sentence on the circumstances, for the page's head")
    parser.add_argument("--out", default=os.path.join(places.BUILD, "deploy-results"), help="folder of the results")
    args = parser.parse_args()
    results = {"machine": machine.describe(), "versions": machine.versions(), "rounds": args.rounds,
               "realtime": args.realtime, "note": args.note,
               "target": SIZE_TARGET, "titles": {name: row[0] for name, row in MODELS.items()}, "sizes": {},
               "steps": {}, "memory": {}}
    with tempfile.TemporaryDirectory(prefix="tenon-deploy-") as folder:
        empty = os.path.join(folder, "nothing")
        run([*CC, "-O1", "-static", os.path.join(HERE, "memory.c"), "-o", empty])
        files = {name: model_file(name, folder) for name in MODELS}
        for name, model in files.items():
            results["sizes"][name] = measure_sizes(name, model, folder)
            results["memory"][name] = measure_memory(name, model, folder, resident(empty))
        for name, (title, words) in STEPS.items():
            results["titles"][name] = title
            results["steps"][name] = measure_step(name, words, files, folder)
        results["peers"] = measure_peers()
        results["start"] = measure_start(files["mobilenet_v2"], args, folder)
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "deploy.json"), "w") as file:
        json.dump(results, file, indent=1)
    text = deploy_report.page(results)
    if args.docs:
        with open(os.path.join(places.ROOT, "docs", "AOT_BENCH.md"), "w") as file:
            file.write(text)
    print(text)


if __name__ == "__main__":
    main()
