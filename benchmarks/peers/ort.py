"""ONNX Runtime on its CPU provider, inputs and outputs bound."""
import onnxruntime as ort

NAME = "onnxruntime"


def load(row, inputs, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(row["model"], options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in inputs]
    for (name, _), value in zip(row["inputs"], values):
        binding.bind_ortvalue_input(name, value)
    for name in row["outputs"]:
        binding.bind_output(name)

    def run():
        session.run_with_iobinding(binding)

    return run, binding.copy_outputs_to_cpu
