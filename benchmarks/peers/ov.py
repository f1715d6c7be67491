"""OpenVINO on the CPU: latency hint, one stream, f32 throughout."""
import openvino as ov

NAME = "openvino"


def load(row, inputs, threads):
    core = ov.Core()
    model = core.read_model(row["model"])
    model.reshape({name: list(array.shape) for (name, _), array in zip(row["inputs"], inputs)})
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
    })
    request = compiled.create_infer_request()
    for (name, _), array in zip(row["inputs"], inputs):
        request.set_tensor(name, ov.Tensor(array, shared_memory=True))

    def outputs():
        return [request.get_tensor(name).data.copy() for name in row["outputs"]]

    return request.infer, outputs
