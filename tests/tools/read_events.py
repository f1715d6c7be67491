"""Checks a run that tests/events.c wrote with TensorBoard's own readers; prints TAP."""
import io
import math

import numpy
from PIL import Image
from tensorboard.compat.proto import graph_pb2

import event_check
from event_check import accumulator, check, tensors

plugins = {name: sorted(accumulator.PluginTagToContent(name)) for name in ("scalars", "histograms", "images", "text")}
check("tags by plugin", plugins == {"scalars": ["train/loss"], "histograms": ["one", "weights"], "images": ["picture"],
                                    "text": ["sample"]}, plugins)

scalars = [(step, float(value)) for step, value in tensors("train/loss")]
check("scalars", scalars[:-1] == [(i, float(numpy.float32(1 / (1 + i)))) for i in range(100)], scalars[:5])
check("a scalar that is not a number", scalars[-1][0] == 2**40 and math.isnan(scalars[-1][1]), scalars[-1])

step, table = tensors("weights")[0]
values = (numpy.arange(1000) % 100 / numpy.float32(100)).astype(numpy.float32).astype(numpy.float64)
counts, edges = numpy.histogram(values, bins=64)
check("histogram's step", step == 3, step)
check("histogram's buckets", table[:, 2].tolist() == counts.tolist(), table[:, 2].tolist(), counts.tolist())
check("histogram's edges", numpy.allclose(table[:, 0], edges[:-1]) and numpy.allclose(table[:, 1], edges[1:]), table)
check("a histogram of one value", tensors("one")[0][1][:, 2].sum() == 1, tensors("one"))

pictures = [(step, int(p[0]), int(p[1]), p[2]) for step, p in tensors("picture")]
pixels = [numpy.array(Image.open(io.BytesIO(p[3]))).tolist() for p in pictures]
check("sizes of pictures", [p[:3] for p in pictures] == [(0, 5, 3), (1, 2, 2), (2, 2, 2)], pictures)
check("grey", pixels[0] == [[17 * (5 * y + x) for x in range(5)] for y in range(3)], pixels[0])
check("colours", pixels[1] == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], pixels[1])
check("floats", pixels[2] == [[0, 255], [128, 255]], pixels[2])

step, text = tensors("sample")[0]
check("text", step == 7 and text.flat[0].decode() == "To be, or *not* to be ä", text)

graph = accumulator.Graph()
check("graph", isinstance(graph, graph_pb2.GraphDef) and
      [(n.name, n.op, list(n.input)) for n in graph.node] == [
          ("x", "param", []), ("dense/kernel", "param", []), ("dense/dot", "dot", ["x", "dense/kernel"]),
          ("dense/relu", "max", ["dense/dot"])], graph)
check("graph's types", graph.node[2].attr["type"].s == b"f32[n, 10]", graph.node[2])
print(f"1..{event_check.count}")
