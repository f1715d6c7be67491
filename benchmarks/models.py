"""The models of the benchmark, a row each: what is run, and on what.

A row's `model` is the name of a module of zoo.py, which is exported once, or of a file of build/models. Its
`inputs` are told by name: dtype, sizes, and what they are filled with: numbers uniform in [-1, 1) when nothing is
said, `<n` integers from 0 to n - 1, `=n` the number n, `strokes` a white picture with lines of dark strokes.
"""
import collections

Row = collections.namedtuple("Row", "name title model inputs")

IMAGE = {"image": "f32 1x3x224x224"}
DATA = {"data_0": "f32 1x3x224x224"}
GPU_DATA = {"gpu_0/data_0": "f32 1x3x224x224"}


def tokens(n, vocabulary=30522):
    return {"input_ids": f"i64 1x{n} <{vocabulary}", "attention_mask": f"i64 1x{n} =1"}


PAST = {f"past_{kind}_{layer}": "f32 1x12x128x64" for layer in range(12) for kind in ("key", "value")}

# Defined by PyTorch's own libraries or in zoo.py, random weights.
ZOO = [
    Row("resnet50", "ResNet-50", "resnet50", IMAGE),
    Row("resnet18", "ResNet-18", "resnet18", IMAGE),
    Row("mobilenet_v2", "MobileNetV2", "mobilenet_v2", IMAGE),
    Row("efficientnet_b0", "EfficientNet-B0", "efficientnet_b0", IMAGE),
    Row("squeezenet1_1", "SqueezeNet 1.1", "squeezenet1_1", IMAGE),
    Row("densenet121", "DenseNet-121", "densenet121", IMAGE),
    Row("vit_b_16", "ViT-B/16", "vit_b_16", IMAGE),
    Row("bert_base", "BERT-base, 128 tokens", "bert_base", tokens(128)),
    Row("minilm_l6", "MiniLM-L6, 128 tokens", "minilm_l6", tokens(128)),
    Row("minilm_l6_any_17", "MiniLM-L6, any length: 17", "minilm_l6_any", tokens(17)),
    Row("minilm_l6_any_64", "MiniLM-L6, any length: 64", "minilm_l6_any", tokens(64)),
    Row("minilm_l6_any_128", "MiniLM-L6, any length: 128", "minilm_l6_any", tokens(128)),
    Row("minilm_l6_any_500", "MiniLM-L6, any length: 500", "minilm_l6_any", tokens(500)),
    Row("gpt2_prefill", "GPT-2 small, prefill 128", "gpt2_prefill", {"input_ids": "i64 1x128 <50257"}),
    Row("gpt2_token", "GPT-2 small, a token after 128", "gpt2_token", {"input_ids": "i64 1x1 <50257", **PAST}),
    Row("lstm", "LSTM 2x256, 64 steps", "lstm", {"sequence": "f32 64x1x64"}),
    Row("ds_cnn", "DS-CNN, keyword", "ds_cnn", {"spectrum": "f32 1x1x49x10"}),
    Row("mlp_1", "MLP 784-512-512-10, batch 1", "mlp_1", {"x": "f32 1x784"}),
    Row("mlp_128", "MLP 784-512-512-10, batch 128", "mlp_128", {"x": "f32 128x784"}),
]

# Published files; those named random_ have published structure and random weights.
FILES = [
    Row("ocr_rec", "PP-OCRv4 recognition, 48x320", "ch_PP-OCRv4_rec_infer", {"x": "f32 1x3x48x320 strokes"}),
    Row("ocr_det", "PP-OCRv4 detection, 320x320", "ch_PP-OCRv4_det_infer", {"x": "f32 1x3x320x320 strokes"}),
    Row("ocr_cls", "PP-OCR angle, 48x192", "ch_ppocr_mobile_v2.0_cls_infer", {"x": "f32 1x3x48x192"}),
    Row("minilm_l3", "paraphrase-MiniLM-L3-v2, 128 tokens", "paraphrase-MiniLM-L3-v2", tokens(128)),
    Row("silero_vad", "Silero VAD", "silero_vad_openvino_16k", {"input": "f32 1x576", "state": "f32 2x1x128 =0"}),
    Row("silero_vad_op15", "Silero VAD, any batch", "silero_vad_16k_op15",
        {"input": "f32 1x576", "state": "f32 2x1x128 =0", "sr": "i64 =16000"}),
    Row("silero_sequence", "Silero VAD, 32 windows", "silero_vad_16k_sequence",
        {"input": "f32 32x576", "h": "f32 1x1x128 =0", "c": "f32 1x1x128 =0"}),
    Row("magika", "Magika", "magika_model", {"bytes": "i32 1x2048 <256"}),
    Row("mtcnn_pnet", "MTCNN P-Net, 240x320", "mtcnn_pnet", {"input_1": "f32 1x240x320x3"}),
    Row("mtcnn_rnet", "MTCNN R-Net, 16 boxes", "mtcnn_rnet", {"input_2": "f32 16x24x24x3"}),
    Row("mtcnn_onet", "MTCNN O-Net, 4 boxes", "mtcnn_onet", {"input_3": "f32 4x48x48x3"}),
    Row("dtln_1", "DTLN, first", "dtln_model_1", {"input_2": "f32 1x1x257", "input_3": "f32 1x2x128x2 =0"}),
    Row("dtln_2", "DTLN, second", "dtln_model_2", {"input_4": "f32 1x1x512", "input_5": "f32 1x2x128x2 =0"}),
    Row("alexnet", "AlexNet", "random_bvlc_alexnet", DATA),
    Row("inception_v1", "Inception v1", "random_inception_v1", DATA),
    Row("inception_v2", "Inception v2", "random_inception_v2", DATA),
    Row("shufflenet", "ShuffleNet", "random_shufflenet", GPU_DATA),
    Row("vgg19", "VGG-19", "random_vgg19", DATA),
    Row("zfnet512", "ZFNet-512", "random_zfnet512", GPU_DATA),
]

# What a call costs in itself: taken off the times of rows below SMALL_MS.
IDENTITY = Row("identity", "(nothing: negates 16 numbers)", "identity", {"x": "f32 1x16"})
SMALL_MS = 0.2

ROWS = {row.name: row for row in [IDENTITY, *ZOO, *FILES]}
FROM_ZOO = {row.model for row in [IDENTITY, *ZOO]}
