"""What training.py has measured, as TRAINING_BENCH.md and a picture of the losses.

A time is the median of the round where it is lowest, or the least of all steps. The ratio is Tenon's time to that of the
fastest peer.
"""
import datetime
import os

import training_chart

TITLES = {"mlp": "MLP 784-512-512-10, batch 128, Adam", "gpt": "GPT, 4 layers of 128, 4 heads, 12 x 64 tokens, AdamW",
          "resnet18": "ResNet-18, 32 pictures of 32 x 32, SGD with momentum"}
GOALS = {"mlp": 0.90, "gpt": 0.70, "resnet18": 0.65}
PICTURE = "training_losses.svg"
FIGURES = ("median_ms", "min_ms", "cpu_ms")


def combined(rounds):
    """One result of a peer's rounds; an error when none went well; empty when there was none."""
    good = [r for r in rounds if "median_ms" in r]
    if not good:
        return rounds[0] if rounds else {}
    told = {key: min(r[key] for r in good) for key in FIGURES + ("peak_bytes",)}
    told["first_ms"] = good[0]["first_ms"]  # later rounds of torch.compile find what the first one compiled
    for key in ("state_bytes", "arena_bytes"):
        told[key] = good[0].get(key)
    return told


def results_of(model, threads, args, kept):
    rounds = {p: [kept.get(("time", model, threads, p, r)) for r in range(args.rounds)] for p in args.peers}
    return {p: combined([r for r in found if r]) for p, found in rounds.items()}


def ratio(results, key):
    others = [r[key] for p, r in results.items() if p != "tenon" and key in r]
    own = results.get("tenon", {}).get(key)
    return own / min(others) if own and others else None


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def cell(result, key, unit=1.0, digits=1):
    return f"{result[key] / unit:.{digits}f}" if key in result else "failed" if "error" in result else "-"


def time_table(args, kept, threads):
    rows = []
    for model in args.models:
        results = results_of(model, threads, args, kept)
        cells = ["; ".join(cell(results[p], key) for key in FIGURES[: 3 if threads == 1 else 2]) for p in args.peers]
        ratios = [ratio(results, key) for key in FIGURES[: 3 if threads == 1 else 2]]
        rows.append([TITLES[model], *cells, *(f"{r:.2f}" if r else "-" for r in ratios), f"{GOALS[model]:.2f}"])
    heads = ["ratio: medians", "least", "processor"][: 3 if threads == 1 else 2]
    return table(["step", *args.peers, *heads, "goal"], rows)


def other_table(args, kept, threads, key, unit, digits):
    rows = []
    for model in args.models:
        results = results_of(model, threads, args, kept)
        rows.append([TITLES[model], *(cell(results[p], key, unit, digits) for p in args.peers)])
    return table(["step", *args.peers], rows)


def failures(args, kept):
    said = [f"- {model}, {threads} threads, {peer}: {result['error']}"
            for threads in args.threads for model in args.models
            for peer, result in results_of(model, threads, args, kept).items() if "error" in result]
    return "\n".join(said) + "\n" if said else ""


# ---- Losses ----------------------------------------------------------------------------------


def relative(a, b):
    return abs(a - b) / max(abs(b), 1e-30)


def curves_of(model, dtype, kept):
    """Both lists of losses, or None when one failed or was not measured."""
    found = [kept.get(("curve", model, dtype, peer), {}) for peer in ("tenon", "torch")]
    return [r["losses"] for r in found] if all("losses" in r for r in found) else None


def mean_of_last(losses, n=20):
    """Over all batches once: single ones differ among themselves."""
    return sum(losses[-n:]) / n


def curve_rows(args, kept):
    rows = []
    for model in args.models:
        double, single = curves_of(model, "f64", kept), curves_of(model, "f32", kept)
        worst = f"{max(map(relative, *double)):.1e}" if double else "-"
        if not single:
            rows.append([TITLES[model], worst] + ["-"] * (len(CURVE_HEAD) - 2))
            continue
        last = [mean_of_last(losses) for losses in single]
        rows.append([TITLES[model], worst, f"{single[0][0]:.4f}", f"{last[0]:.4f}, {last[1]:.4f}", f"{100 * relative(*last):.2f} %",
                     f"{single[0][-1]:.4f}, {single[1][-1]:.4f}", f"{100 * relative(single[0][-1], single[1][-1]):.2f} %"])
    return rows


CURVE_HEAD = ["model", "f64: largest difference in 50 steps", "f32: first loss", "mean of the last 20 of 200: Tenon, PyTorch",
              "difference", "the last: Tenon, PyTorch", "difference"]

HEAD = """# Training beside PyTorch and JAX

Made by `make bench-training BENCH_ARGS=--docs`; the figures are a measurement of {date}.
{cpu}, {cpus} CPUs, {system}; Tenon {tenon}, PyTorch {torch}, JAX {jax}.

The three models are defined with `tenon_nn.h` (`benchmarks/training/models.c`), in PyTorch
(`benchmarks/training/torch_models.py`) and in JAX (`benchmarks/training/jax_models.py`), in each as its users write them.
All begin with the same weights and read the same batches. A step is from a batch in memory to the loss on the host and
updated parameters. PyTorch: attention through `scaled_dot_product_attention`, one product for query, key and value,
`fused` optimizers, channels last for convolutions; torch.compile of model and loss; JAX: one jitted function, state
donated. Tenon runs without its check for gradients that are not finite, which the others don't do.

Each measurement is a process of its own, on the same cores, with as many threads as cores; peers take turns over
{rounds} round{s} of {seconds:g} s.
"""


def document(args, kept, about):
    versions, machine = about["versions"], about["machine"]
    parts = [HEAD.format(date=datetime.date.today().isoformat(), cpu=machine["cpu"], cpus=machine["cpus"], system=machine["system"],
                         tenon=versions["tenon"], torch=versions["torch"], jax=versions["jax"], rounds=about["rounds"], s="s" if about["rounds"] > 1 else "",
                         seconds=about["seconds"])]
    parts += [f"{args.note}\n"] if args.note else []
    for threads in args.threads:
        parts += [f"## A step, ms, {threads} thread{'s' if threads > 1 else ''}\n",
                  "Median of the best round; the least of all steps" + ("; median of processor time, which other work on the "
                  "machine disturbs least" if threads == 1 else "") + ". Ratio: Tenon / fastest peer.\n",
                  time_table(args, kept, threads)]
    first = args.threads[0]
    parts += [f"## Until the first step is done, s, {first} thread{'s' if first > 1 else ''}\n",
              "Building, differentiating and compiling included, importing the library not.\n",
              other_table(args, kept, first, "first_ms", 1e3, 2),
              "## Most memory resident, MB\n", "Of the others less what Python and NumPy hold.\n",
              other_table(args, kept, first, "peak_bytes", 1e6, 0)]
    if not args.no_curves:
        parts += ["## Losses\n", "Differences are relative. The picture has the losses in f32.\n",
                  table(CURVE_HEAD, curve_rows(args, kept)), f"![losses]({PICTURE})\n"]
    failed = failures(args, kept)
    return "\n".join(parts + (["## What did not run\n", failed] if failed else []))


def write(folder, args, kept, about):
    text = document(args, kept, about)
    with open(os.path.join(folder, "TRAINING_BENCH.md"), "w") as file:
        file.write(text)
    curves = {TITLES[m]: curves_of(m, "f32", kept) for m in args.models if curves_of(m, "f32", kept)}
    if curves:
        with open(os.path.join(folder, PICTURE), "w") as file:
            file.write(training_chart.draw(curves))
    return text
