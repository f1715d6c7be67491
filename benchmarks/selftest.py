#!/usr/bin/env python3
"""The benchmark's own arithmetic, on made-up measurements: one TAP line a check (tests/bench.sh runs it).

Needs Python alone; what compares outputs is left out where there is no NumPy.
"""
import importlib.util
import os
import tempfile
import types

import chart
import deploy_report
import measure
import models
import report
import store
import training_report

ROW = models.Row("made_up", "Made up", "made_up", {})
PEERS = ["tenon", "onnxruntime", "openvino"]
HEADER = {"versions": {"tenon": "a"}, "seconds": 1}


def measured(median, **more):
    return {"median_ms": median, "min_ms": median * 0.9, "start_ms": 5, "load_ms": 4, "peak_bytes": 3, "deploy_bytes": 2, **more}


def result(rounds, calls=None, agreement=None):
    """The row's result where `rounds` has for each peer what its rounds measured."""
    args = types.SimpleNamespace(peers=PEERS, rounds=2, out="nowhere")
    kept = {(ROW.name, 1, peer, i): r for peer, list_ in rounds.items() for i, r in enumerate(list_)}
    kept.update({(models.IDENTITY.name, 1, peer, 0): r for peer, r in (calls or {}).items()})
    given = agreement or (lambda reference, folders: {"flat": False, "differences": dict.fromkeys(folders, 0.0)})
    real, measure.agreement = measure.agreement, given
    try:
        return report.row_result(ROW, 1, args, kept)
    finally:
        measure.agreement = real


def best_round_and_best_peer():
    told = result({"tenon": [measured(4), measured(2)], "onnxruntime": [measured(8), measured(5)], "openvino": [measured(4)]})
    assert told["best_peer"] == "openvino" and told["ratio"] == 0.5, told
    assert told["peers"]["tenon"]["spread"] == 2 and told["peers"]["tenon"]["min_ms"] == 1.8, told


def small_rows_are_net_of_a_call():
    calls = {"tenon": measured(0.01), "onnxruntime": measured(0.04)}
    told = result({"tenon": [measured(0.11)], "onnxruntime": [measured(0.14)]}, calls)
    assert abs(told["ratio"] - 1) < 1e-9, told
    told = result({"tenon": [measured(1.1)], "onnxruntime": [measured(1.4)]}, calls)
    assert told["peers"]["onnxruntime"]["median_ms"] == 1.4, told


def disagreement_voids_the_row():
    apart = {"tenon": 4e-3, "openvino": 1e-6}
    told = result({peer: [measured(1)] for peer in PEERS}, agreement=lambda reference, folders: {
        "flat": False, "differences": {f: apart[f.rsplit("-", 1)[1]] for f in folders}})
    assert "ratio" not in told and told["void"] == "outputs of tenon differ from onnxruntime's", told
    told = result({peer: [measured(1)] for peer in PEERS}, agreement=lambda reference, folders: {
        "flat": True, "differences": dict.fromkeys(folders, 0.0)})
    assert told["void"] == "all outputs are one number", told


def failures_are_told():
    told = result({"tenon": [{"error": "no such op"}], "onnxruntime": [measured(1)], "openvino": [{"skip": "why"}]})
    assert "ratio" not in told and "void" not in told, told
    assert report.problems([told]) == ["- Made up, 1 threads: tenon: no such op"]
    assert [report.milliseconds(told["peers"][p]) for p in PEERS] == ["failed", "1", "-"]
    chart.draw([told], PEERS)


def a_stopped_run_goes_on():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "runs.jsonl")
        store.open_store(path, HEADER, False).add(("a", 1, "tenon", 0), {"median_ms": 1})
        with open(path, "a") as file:
            file.write('["b", 1, "ten')
        again = store.open_store(path, {**HEADER, "versions": {"tenon": "another commit"}}, False)
        assert again.records == {("a", 1, "tenon", 0): {"median_ms": 1}}, again.records
        again.add(("c", 1, "tenon", 0), {"median_ms": 2})
        assert len(store.open_store(path, HEADER, False).records) == 2
        assert store.open_store(path, {**HEADER, "seconds": 2}, False).records == {}
        assert os.path.exists(path + ".old")


def outputs_are_compared():
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        def save(name, array):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
            np.save(os.path.join(folder, name, "out0.npy"), array)
            return os.path.join(folder, name)

        one = np.linspace(-1, 1, 1000, dtype=np.float32)
        halves = (one.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)  # what bf16 keeps
        made = [save("same", one), save("bf16", halves), save("shape", one[:5]), save("nan", one * np.float32("nan"))]
        said = measure.agreement(save("reference", one), made)
        same, bf16, shape, nan = (said["differences"][path] for path in made)
        assert same == 0 and bf16 > report.TOLERANCE and shape is None and nan is None and not said["flat"], said
        assert measure.agreement(save("flat", one * 0), made[:1])["flat"]


def training_is_told():
    def step(median, first):
        return {"median_ms": median, "min_ms": median / 2, "cpu_ms": median * 2, "first_ms": first, "peak_bytes": 5e6}

    args = types.SimpleNamespace(models=["mlp"], peers=["tenon", "torch", "jax"], threads=[1], rounds=2, no_curves=False)
    kept = {("time", "mlp", 1, "tenon", 0): step(3, 400), ("time", "mlp", 1, "tenon", 1): step(2, 300),
            ("time", "mlp", 1, "torch", 0): step(4, 9000), ("time", "mlp", 1, "jax", 0): {"error": "no memory"}}
    for dtype, own, other in (("f64", [2.0, 1.0], [2.0, 1.0 + 1e-9]), ("f32", [2.0] + [1.0] * 20, [2.0] + [1.25] * 20)):
        kept.update({("curve", "mlp", dtype, "tenon"): {"losses": own}, ("curve", "mlp", dtype, "torch"): {"losses": other}})
    row = training_report.time_table(args, kept, 1).splitlines()[-1].split(" | ")
    assert row[1:] == ["2.0; 1.0; 4.0", "4.0; 2.0; 8.0", "failed; failed; failed", "0.50", "0.50", "0.50", "0.90 |"], row
    row = training_report.curve_rows(args, kept)[0]
    assert row[1:5] == ["1.0e-09", "2.0000", "1.0000, 1.2500", "20.00 %"], row
    assert "jax: no memory" in training_report.failures(args, kept)


def deploying_is_told():
    def of(median):
        return {"median": median, "least": median / 2}

    size = {"code": 3000, "data": 1000, "weights": 400_000, "header": 9, "onnx": 1, "needed": [], "undefined": ["memcpy"]}
    memory = {"arena": 1000, "tensors": 36, "most": 1}
    program = {"first": of(20), "whole": of(21), "processor": of(22), "faults": of(7), "stages": [of(1)] * 5}
    told = deploy_report.page({
        "machine": {"cpu": "some", "cpus": 2, "system": "a system"}, "versions": dict.fromkeys(
            ("tenon", "onnxruntime", "openvino", "torch", "jax")), "rounds": 3, "realtime": False, "note": "", "target": "a",
        "titles": {"mnist_mlp": "MLP", "mobilenet_v2": "Mobile"},
        "sizes": {"mnist_mlp": size, "mobilenet_v2": {**size, "code": 400_000}}, "peers": {"other": 808_000 * 5 - 1, "none": None},
        "steps": {"mnist_mlp": {**size, "state": 77, "arena": 88}}, "memory": {"mnist_mlp": {**memory, "resident": 402_036 + 65_536}, "mobilenet_v2": {**memory, "resident": 10**9}},
        "start": {"Tenon, ahead of time": program, "other": {**program, "first": of(50)}}})
    assert "| MLP | 3,000 | 1,000 | 400,000 | 404,000 | 9 | none | below 10,000: reached |" in told, told
    assert "below 400,000: **missed**" in told and "| none | not measured |" in told, told
    assert "| MLP | 3,000 | 1,000 | 9 | 77 | 88 |" in told, told
    assert "| other | 4.0 MB | 4.0 MB | 4.0 MB | 5.0 |" in told, told
    assert "| other | 50.0; 25.0 | 21.0; 10.5 | 22.0; 11.0 | 7 | 2.5 |" in told, told
    assert "**missed** by the median, reached by the least" in told, told
    rows = [line for line in told.splitlines() if line.startswith(("| MLP | 1,000", "| Mobile | 1,000"))]
    assert rows[0].endswith("reached |") and rows[1].endswith("**missed** |"), rows


def main():
    checks = [best_round_and_best_peer, small_rows_are_net_of_a_call, disagreement_voids_the_row, failures_are_told,
              a_stopped_run_goes_on, training_is_told, deploying_is_told]
    if importlib.util.find_spec("numpy"):
        checks.append(outputs_are_compared)
    print(f"1..{len(checks)}")
    for i, check in enumerate(checks, 1):
        name = check.__name__.replace("_", " ")
        try:
            check()
            print(f"ok {i} - {name}")
        except AssertionError as error:
            print(f"not ok {i} - {name}\n# {error}")


main()
