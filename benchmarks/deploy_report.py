"""What deploy.py has measured, as docs/AOT_BENCH.md.

Goals stand beside the figures; a page says of each whether it was reached.
"""
import datetime

CODE_GOALS = {"mnist_mlp": 10_000, "mobilenet_v2": 400_000}
START_GOAL_MS = 15
MEMORY_SLACK = 64 * 1024

INTRO = """# Deploying a model: bytes, cold start, memory

Made by `make bench-deploy BENCH_ARGS=--docs`; the figures are a measurement of {date}.
{machine}; Tenon {tenon}, ONNX Runtime {onnxruntime}, OpenVINO {openvino}, PyTorch {torch},
JAX {jax}.{note}

## Bytes

What has to be on a device to run a model, compiled for {target}: code, data that stay in the object (tables, messages,
and small constants: biases are the most of it), and the file of weights. The header is for the compiler only. Programs
need libc alone, from which the objects take {undefined}; linked with `-static` they need no shared library.
"""

STEPS = """
Training steps (forward, gradients, optimizer) are larger; their first states are a file here, as large as the weights or
some times that. The state is the caller's struct, and all that training keeps.
"""

PEERS = """
Others bring a runtime, and read the model file beside it. Sizes are of the files as installed here by `pip`, without
what those packages need in turn (Python, NumPy); others than these were not measured.
"""

START = """
## Cold start

MobileNetV2, batch 1, on one core: from the moment the process is asked for to the first output in memory, and to the
end of the process. In {rounds} rounds the programs take turns{priority};
all files are in the system's cache. Processor time is what other work disturbs least. All answers agree.
`benchmarks/deploy/mobilenet.c` maps the file of weights; `benchmarks/start/ort.c` opens ONNX Runtime's library by itself;
both Python programs import nothing that they do not need, PyTorch loads a frozen TorchScript file.
"""

MEMORY = """
## Memory

What a process with the model's weights in its program holds after a run, beyond a C program that does nothing, and what
it should be at most: arena, weights (with the small ones of the object's data), inputs and outputs, and 64 KiB for code
and pages that are not full. Linked with `-static`, without large pages, compiled as for the table of bytes. The system's
own record of the most (`VmHWM`), which it keeps to some pages a CPU, stands beside.
"""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def number(n):
    return f"{n:,}"


def megabytes(n):
    return "not measured" if n is None else f"{n / 1e6:,.1f} MB"


def verdict(is_met):
    return "reached" if is_met else "**missed**"


def deployed(size):
    return size["code"] + size["data"] + size["weights"]


def size_table(results):
    rows = []
    for name, size in results["sizes"].items():
        own, goal = size["code"] + size["data"], CODE_GOALS.get(name)
        rows.append([results["titles"][name], number(size["code"]), number(size["data"]), number(size["weights"]),
                     number(deployed(size)), number(size["header"]), ", ".join(size["needed"]) or "none",
                     f"below {number(goal)}: {verdict(own < goal)}" if goal else "-"])
    return table(["model", "code", "data", "weights", "to deploy", "header", "shared libraries", "code and data"], rows)


def step_table(results):
    rows = [[results["titles"][name], *(number(step[key]) for key in ("code", "data", "header", "state", "arena"))]
            for name, step in results["steps"].items()]
    return table(["step", "code", "data", "header", "state", "arena"], rows)


def peer_table(results):
    mobilenet, mlp = results["sizes"]["mobilenet_v2"], results["sizes"]["mnist_mlp"]
    rows = [["Tenon, ahead of time", "none", f"{deployed(mlp) / 1e6:.2f} MB", megabytes(deployed(mobilenet)), "1"]]
    for title, size in results["peers"].items():
        if size is None:
            rows.append([title, "not measured", "-", "-", "-"])
            continue
        with_mobilenet = size + mobilenet["onnx"]
        rows.append([title, megabytes(size), megabytes(size + mlp["onnx"]), megabytes(with_mobilenet),
                     f"{with_mobilenet / deployed(mobilenet):.1f}"])
    return table(["", "runtime", "with the MLP", "with MobileNetV2", "times Tenon's"], rows)


def cell(of):
    return f"{of['median']:.1f}; {of['least']:.1f}"


def start_table(results):
    own = results["start"]["Tenon, ahead of time"]["first"]["median"]
    rows = [[title, cell(told["first"]), cell(told["whole"]), cell(told["processor"]), number(int(told["faults"]["median"])),
             f"{told['first']['median'] / own:.1f}"] for title, told in results["start"].items()]
    text = table(["ms: median; least", "first output", "whole process", "processor", "page faults", "times Tenon's"], rows)
    first = results["start"]["Tenon, ahead of time"]["first"]
    return text + (f"\nThe goal is below {START_GOAL_MS} ms to the first output: {verdict(first['median'] < START_GOAL_MS)} by the"
                   f" median, {verdict(first['least'] < START_GOAL_MS)} by the least.\n")


STAGES = ("start of the process", "mapping the weights, reading the input", "binding: checksum of the weights",
          "the first run", "output, end of the process")


def stage_table(results):
    stages = results["start"]["Tenon, ahead of time"]["stages"]
    return "\nWhat Tenon's time is made of:\n\n" + table(["ms", "median; least"], [[s, cell(t)] for s, t in zip(STAGES, stages)])


def memory_table(results):
    rows = []
    for name, told in results["memory"].items():
        weights = results["sizes"][name]["weights"] + results["sizes"][name]["data"]
        most = told["arena"] + weights + told["tensors"] + MEMORY_SLACK
        rows.append([results["titles"][name], number(told["arena"]), number(weights), number(told["tensors"]),
                     number(most), number(told["resident"]), number(told["most"]), verdict(told["resident"] <= most)])
    return table(["model", "arena", "weights", "inputs, outputs", "at most", "resident", "VmHWM", ""], rows)


def page(results):
    machine, versions = results["machine"], results["versions"]
    priority = " with the priority of real time, as the machine had other work" if results["realtime"] else ""
    undefined = sorted({symbol for part in ("sizes", "steps") for size in results[part].values() for symbol in size["undefined"]})
    head = INTRO.format(date=datetime.date.today().isoformat(), target=results["target"],
                        machine=f"{machine['cpu']}, {machine['cpus']} CPU{'s' if machine['cpus'] > 1 else ''}, {machine['system']}",
                        undefined=", ".join(f"`{symbol}`" for symbol in undefined) or "nothing",
                        note=" " + results["note"] if results["note"] else "",
                        **{key: versions[key] or "-" for key in ("tenon", "onnxruntime", "openvino", "torch", "jax")})
    return "\n".join([head, size_table(results) + STEPS, step_table(results) + PEERS, peer_table(results) + START.format(rounds=results["rounds"], priority=priority),
                      start_table(results) + stage_table(results) + MEMORY, memory_table(results)])
