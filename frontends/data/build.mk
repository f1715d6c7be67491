# safetensors' headers are JSON; .npz and .gz are deflated.
LIBS += -ljansson -lz
