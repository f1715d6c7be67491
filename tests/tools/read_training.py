"""Checks a run of `tenon train digits --epochs 2 --tensorboard` with TensorBoard's own readers; prints TAP."""

from tensorboard.compat.proto import graph_pb2

import event_check
from event_check import accumulator, check, tensors

EPOCHS, STEPS, LAYERS = 2, 45, ["conv2d", "conv2d_1", "conv2d_2", "dense"]

tags = sorted(accumulator.PluginTagToContent("scalars"))
wanted = [f"{group}/{name}" for group in ("epoch", "validation") for name in ("accuracy", "loss")] + [
    f"step/{name}" for name in ("gradient_norm", "learning_rate", "loss")]
check("scalars", tags == sorted(wanted), tags)
losses = tensors("step/loss")
check("a loss for each step", [step for step, _ in losses] == list(range(1, EPOCHS * STEPS + 1)), losses[:3])
check("which falls", losses[-1][1] < losses[0][1] / 2, losses[0], losses[-1])
epochs = tensors("validation/accuracy")
check("an accuracy for each epoch", [step for step, _ in epochs] == [STEPS, EPOCHS * STEPS], epochs)
check("above 0.8", epochs[-1][1] > 0.8, epochs)

tags = sorted(accumulator.PluginTagToContent("histograms"))
wanted = sorted(f"parameters/{layer}.{name}" for layer in LAYERS for name in ("kernel", "bias"))
check("a histogram for each parameter", tags == wanted, tags)
step, table = tensors("parameters/dense.kernel")[-1]
check("of all its elements", table[:, 2].sum() == 2 * 2 * 64 * 10, table)

graph = graph_pb2.GraphDef.FromString(accumulator.Graph().SerializeToString())
nodes = {node.name: node for node in graph.node}
check("the graph has the parameters", all(f"{layer}/kernel" in nodes for layer in LAYERS), sorted(nodes))
check("and the ops of layers in their groups",
      any(name.startswith("conv2d_1/conv_") and node.op == "conv" for name, node in nodes.items()), sorted(nodes))
check("with all their inputs", all(name in nodes for node in graph.node for name in node.input))
print(f"1..{event_check.count}")
