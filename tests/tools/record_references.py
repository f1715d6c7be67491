#!/usr/bin/env python3
"""Records what ONNX Runtime answers for the real models: tests/models/cases.txt and refs/*.npy.

Run from the repository root by `make references`, which makes a private environment for it (no part
of `make deps`). Inputs are real where there is something real to give (the demo's page, a
photograph, synthesised speech, this project's own files) and follow a rule otherwise; the formats
of cases.txt are told in tests/models/README.md.
"""
import os
import subprocess
import sys
import wave

import numpy as np
import onnxruntime as ort
from PIL import Image

MODELS = "build/models"
FOLDER = "tests/models/refs"
DTYPES = {
    "tensor(float)": ("f32", np.float32),
    "tensor(int64)": ("i64", np.int64),
    "tensor(int32)": ("i32", np.int32),
}
FULL_LIMIT = 24 * 1024  # elements of an output that is kept whole
SPARSE_BELOW = 1e-5  # probabilities under this are not kept

cases = []


# ---- Values by rule (see README.md, "Sources") ---------------------------------------------


def uniform(seed, low, high, shape, dtype):
    n = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        z = np.uint64(seed) * np.uint64(0x2545F4914F6CDD1D) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> np.uint64(31))) >> np.uint64(40)
    value = low + (high - low) * (z.astype(np.float64) / 2.0**24)
    if np.issubdtype(dtype, np.integer):
        value = np.floor(value)
    return value.astype(dtype).reshape(shape)


class Uniform:
    def __init__(self, seed, low, high, *shape):
        self.seed, self.low, self.high, self.shape = seed, low, high, shape

    def make(self, name, dtype):
        return uniform(self.seed, self.low, self.high, self.shape, dtype), f"uniform:{self.seed}:{self.low}:{self.high}"


class Value:
    def __init__(self, value, *shape):
        self.value, self.shape = value, shape

    def make(self, name, dtype):
        return np.full(self.shape, self.value, dtype), f"value:{self.value}"


class File:
    """Kept in refs/; element * scale + offset, computed in double, is what the model gets."""

    def __init__(self, array, scale=1, offset=0):
        self.array, self.scale, self.offset = np.ascontiguousarray(array), scale, offset

    def make(self, name, dtype):
        np.save(f"{FOLDER}/{name}.npy", self.array)
        value = self.array.astype(np.float64) * self.scale + self.offset
        return value.astype(dtype), f"file:refs/{name}.npy:{self.scale!r}:{self.offset!r}"


class PageLine:
    """Text line `k` of docs/examples/page.png as the demo prepares it."""

    def __init__(self, k):
        self.k = k

    def make(self, name, dtype):
        return page_line(self.k), f"page:{self.k}"


# ---- The demo's page (README.md, "The page") ------------------------------------------------

INK, GAP, LEAST, MARGIN, HEIGHT = 128, 3, 8, 4, 48


def page():
    return np.array(Image.open("docs/examples/page.png").convert("L"))


def text_lines(gray):
    """(top, bottom, left, right) of each text line, with its margin."""
    ink = gray < INK
    rows = ink.any(axis=1)
    height, width = gray.shape
    found, y = [], 0
    while y < height:
        if not rows[y]:
            y += 1
            continue
        end, gap, top = y + 1, 0, y
        for y in range(end, height):
            gap = 0 if rows[y] else gap + 1
            if gap == GAP:
                break
            if rows[y]:
                end = y + 1
        if end - top >= LEAST:
            columns = np.flatnonzero(ink[top:end].any(axis=0))
            found.append(
                (
                    max(0, top - MARGIN),
                    min(height, end + MARGIN),
                    max(0, columns[0] - MARGIN),
                    min(width, columns[-1] + 1 + MARGIN),
                )
            )
        y += 1
    return found


def resize(crop, height, width):
    """Bilinear, half-pixel centres, in double, not rounded."""
    h, w = crop.shape
    sy = np.clip((np.arange(height) + 0.5) * h / height - 0.5, 0, h - 1)
    sx = np.clip((np.arange(width) + 0.5) * w / width - 0.5, 0, w - 1)
    y0, x0 = np.floor(sy).astype(int), np.floor(sx).astype(int)
    y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
    fy, fx = (sy - y0)[:, None], (sx - x0)[None, :]
    crop = crop.astype(np.float64)
    upper = crop[y0][:, x0] * (1 - fx) + crop[y0][:, x1] * fx
    lower = crop[y1][:, x0] * (1 - fx) + crop[y1][:, x1] * fx
    return upper * (1 - fy) + lower * fy


def line_pixels(k, width=None):
    gray = page()
    top, bottom, left, right = text_lines(gray)[k]
    crop = gray[top:bottom, left:right]
    if width is None:
        width = max(1, int(crop.shape[1] * HEIGHT / crop.shape[0] + 0.5))
    return resize(crop, HEIGHT, width)


def page_line(k):
    x = ((line_pixels(k) / 255 - 0.5) / 0.5).astype(np.float32)
    return np.broadcast_to(x, (1, 3) + x.shape).copy()


def line_bytes(k, width):
    """A text line squeezed to `width`, as three equal channels of bytes."""
    x = np.floor(line_pixels(k, width) + 0.5).astype(np.uint8)
    return np.broadcast_to(x, (3,) + x.shape)


# ---- Other real inputs ----------------------------------------------------------------------


def face(height, width, box=(20, 150, 220, 320)):
    """A part of scikit-image's photograph of an astronaut (public domain), as bytes HxWx3."""
    import skimage.data

    top, left, bottom, right = box
    crop = Image.fromarray(skimage.data.astronaut()[top:bottom, left:right])
    return np.array(crop.resize((width, height), Image.BILINEAR))


def speech(rate):
    """One sentence from espeak-ng, as 16-bit samples at `rate`."""
    path = "build/speech.wav"
    subprocess.run(["espeak-ng", "-w", path, "Tenon turns a neural network into a program."], check=True)
    with wave.open(path) as f:
        samples = np.frombuffer(f.readframes(f.getnframes()), np.int16).astype(np.float64)
        own_rate = f.getframerate()
    at = np.arange(int(len(samples) * rate / own_rate)) * own_rate / rate
    return np.floor(np.interp(at, np.arange(len(samples)), samples) + 0.5).astype(np.int16)


def file_bytes(path):
    """The first and last 1,024 bytes of a file, 256 where it has none: Magika's features."""
    data = np.frombuffer(open(path, "rb").read(), np.uint8).astype(np.int16)
    features = np.full(2048, 256, np.int16)
    n = min(len(data), 1024)
    features[:n], features[2048 - n :] = data[:n], data[-n:]
    return features


# ---- Recording ------------------------------------------------------------------------------


def shape_text(shape):
    return "x".join(map(str, shape)) or "-"


def keep(name, value, sparse):
    """Stores one output and says how it is stored."""
    if value.dtype == np.float64:
        raise SystemExit(f"{name}: unexpected dtype")
    flat = value.ravel()
    if sparse:
        at = np.flatnonzero(np.abs(flat) >= SPARSE_BELOW)
        np.save(f"{FOLDER}/{name}.at.npy", at.astype(np.int32))
        np.save(f"{FOLDER}/{name}.npy", flat[at])
        return f"sparse:refs/{name}.npy:refs/{name}.at.npy:{SPARSE_BELOW!r}"
    if flat.size <= FULL_LIMIT:
        np.save(f"{FOLDER}/{name}.npy", value)
        return f"full:refs/{name}.npy"
    step = flat.size // FULL_LIMIT + 1
    step += step % 2 == 0  # odd, so that every column of an even-sized axis has its turn
    np.save(f"{FOLDER}/{name}.npy", flat[::step])
    total, magnitude = float(flat.sum(dtype=np.float64)), float(np.abs(flat).sum(dtype=np.float64))
    return f"every:refs/{name}.npy:{step}:{total!r}:{magnitude!r}"


def open_model(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(f"{MODELS}/{model}", options, providers=["CPUExecutionProvider"])


def record(case, model, inputs, sparse=False):
    """Runs `model` (a file of build/models) on `inputs` and writes down the case; returns the outputs."""
    session = open_model(model)
    text, feed = [f"case {case} {model}"], {}
    for i, node in enumerate(session.get_inputs()):
        dtype, numpy_dtype = DTYPES[node.type]
        feed[node.name], source = inputs[node.name].make(f"{case}.in{i}", numpy_dtype)
        text.append(f"in {node.name} {dtype} {shape_text(feed[node.name].shape)} {source}")
    results = session.run(None, feed)
    for i, (node, value) in enumerate(zip(session.get_outputs(), results)):
        if not np.all(np.isfinite(value)):
            raise SystemExit(f"{case}: {node.name} is not finite")
        dtype, _ = DTYPES[node.type]
        is_sparse = sparse and value.dtype == np.float32
        text.append(f"out {node.name} {dtype} {shape_text(value.shape)} {keep(f'{case}.out{i}', value, is_sparse)}")
    cases.append("\n".join(text))
    print(case, [v.shape for v in results], [float(np.abs(v).max()) for v in results])
    return results


def record_ocr():
    rec, det, cls = "ch_PP-OCRv4_rec_infer.onnx", "ch_PP-OCRv4_det_infer.onnx", "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    scale, offset = 2 / 255, -1
    for k in range(len(text_lines(page()))):
        record(f"page-{k:02}", rec, {"x": PageLine(k)}, sparse=True)
    record("rec-1x320", rec, {"x": File(line_bytes(8, 320)[None], scale, offset)}, sparse=True)
    two = np.stack([line_bytes(7, 203), line_bytes(13, 203)])
    record("rec-2x203", rec, {"x": File(two, scale, offset)}, sparse=True)
    gray = page()
    one = np.broadcast_to(gray[30:158:2, 30:670:2], (1, 3, 64, 320))
    record("det-64x320", det, {"x": File(one, scale, offset)})
    two = np.stack([np.broadcast_to(gray[y : y + 96, 32:192], (3, 96, 160)) for y in (30, 360)])
    record("det-2x96x160", det, {"x": File(two, scale, offset)})
    record("cls-1", cls, {"x": File(line_bytes(9, 192)[None], scale, offset)})
    three = np.stack([line_bytes(8, 192), line_bytes(9, 192)[:, ::-1, ::-1], line_bytes(13, 192)])
    record("cls-3", cls, {"x": File(three, scale, offset)})


def record_mtcnn():
    scale, offset = 0.0078125, -127.5 * 0.0078125
    wide, near = (0, 100, 300, 400), (20, 150, 220, 320)
    record("pnet-1x64x48", "mtcnn_pnet.onnx", {"input_1": File(face(64, 48)[None], scale, offset)})
    two = np.stack([face(37, 90, wide), face(37, 90, near)])
    record("pnet-2x37x90", "mtcnn_pnet.onnx", {"input_1": File(two, scale, offset)})
    for net, side, node in (("rnet", 24, "input_2"), ("onet", 48, "input_3")):
        record(f"{net}-1", f"mtcnn_{net}.onnx", {node: File(face(side, side)[None], scale, offset)})
        three = np.stack([face(side, side, box) for box in (near, wide, (260, 200, 460, 400))])
        record(f"{net}-3", f"mtcnn_{net}.onnx", {node: File(three, scale, offset)})


def record_dtln():
    sound = speech(16000)[6000:].astype(np.int16)
    state = [Value(0, 1, 2, 128, 2), Value(0, 1, 2, 128, 2)]
    for i in range(2):
        block = sound[i * 128 : i * 128 + 512]
        spectrum = np.abs(np.fft.rfft(block / 32768.0)).astype(np.float32)
        out = record(f"dtln1-{i}", "dtln_model_1.onnx", {"input_2": File(spectrum[None, None]), "input_3": state[0]})
        state[0] = File(out[1])
        out = record(
            f"dtln2-{i}", "dtln_model_2.onnx", {"input_4": File(block[None, None], 1 / 32768), "input_5": state[1]}
        )
        state[1] = File(out[1])


def record_silero():
    scale = 1 / 32768
    sound = {16000: speech(16000)[6000:], 8000: speech(8000)[3000:]}

    def windows(rate, count):
        size = 576 if rate == 16000 else 288
        return np.stack([sound[rate][i * size : (i + 1) * size] for i in range(count)])

    def run(case, model, rate, count, state, with_rate):
        feed = {"input": File(windows(rate, count), scale), "state": state}
        if with_rate:
            feed["sr"] = Value(rate)
        return record(case, model, feed)

    for case, model, rates in (
        ("silero", "silero_vad.onnx", (16000, 8000)),
        ("silero-half", "silero_vad_half.onnx", (None,)),
        ("silero-op15", "silero_vad_16k_op15.onnx", (16000,)),
        ("silero-ifless", "silero_vad_op18_ifless.onnx", (16000, 8000)),
    ):
        for rate in rates:
            tag = f"{case}-{rate // 1000}k" if len(rates) > 1 else case
            out = run(f"{tag}-1", model, rate or 16000, 1, Value(0, 2, 1, 128), rate is not None)
            run(f"{tag}-1-next", model, rate or 16000, 1, File(out[1]), rate is not None)
            run(f"{tag}-3", model, rate or 16000, 3, Uniform(5, -0.5, 0.5, 2, 3, 128), rate is not None)
    model = "silero_vad_openvino_16k.onnx"
    out = run("silero-openvino-1", model, 16000, 1, Value(0, 2, 1, 128), False)
    run("silero-openvino-1-next", model, 16000, 1, File(out[1]), False)
    for count in (1, 7):
        feed = {"input": File(windows(16000, count), scale)}
        feed["h"], feed["c"] = Uniform(6, -0.5, 0.5, 1, 1, 128), Uniform(7, -0.5, 0.5, 1, 1, 128)
        record(f"silero-sequence-{count}", "silero_vad_16k_sequence.onnx", feed)


def record_others():
    texts = ["docs/examples/page.txt", "tests/tools/run-tests.sh", "docs/examples/page.png"]
    features = np.stack([file_bytes(path) for path in texts])
    record("magika-1", "magika_model.onnx", {"bytes": File(features[1:2])})
    record("magika-3", "magika_model.onnx", {"bytes": File(features)})
    model = "paraphrase-MiniLM-L3-v2.onnx"
    # "[CLS] hello world [SEP]", then two sentences of token numbers, the second one padded.
    one = np.array([[101, 7592, 2088, 102]], np.int32)
    record("minilm-1x4", model, {"input_ids": File(one), "attention_mask": Value(1, 1, 4)})
    two = uniform(8, 1000, 29000, (2, 19), np.int32)
    two[:, 0], two[0, 18], two[1, 11], two[1, 12:] = 101, 102, 102, 0
    mask = (two != 0).astype(np.uint8)
    record("minilm-2x19", model, {"input_ids": File(two), "attention_mask": File(mask)})
    names = sorted(f[6:-5] for f in os.listdir(MODELS) if f.startswith("light_") and f.endswith(".onnx"))
    for kind in ("light", "random"):
        for name in names:
            node = open_model(f"{kind}_{name}.onnx").get_inputs()[0]
            record(f"{kind}-{name.replace('_', '-')}", f"{kind}_{name}.onnx", {node.name: Uniform(9, -1, 1, *node.shape)})


def main():
    os.makedirs(FOLDER, exist_ok=True)
    for old in os.listdir(FOLDER):
        os.remove(f"{FOLDER}/{old}")
    record_ocr()
    record_mtcnn()
    record_dtln()
    record_silero()
    record_others()
    with open("tests/models/cases.txt", "w", encoding="utf-8") as out:
        out.write(f"# Recorded with ONNX Runtime {ort.__version__} by tests/tools/record_references.py; see README.md.\n\n")
        out.write("\n\n".join(cases) + "\n")
    size = sum(os.path.getsize(f"{FOLDER}/{f}") for f in os.listdir(FOLDER))
    print(f"{len(cases)} cases, {size / 1e6:.1f} MB", file=sys.stderr)


main()
