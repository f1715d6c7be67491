/* Files that people hand over by mistake, told by their first bytes.
 *
 * in:  the start of a file
 * out: what it is, and what to do with it, as a text for messages
 * law: a hint, nothing depends on it: who reads a format checks it himself
 *
 * Source: the formats' descriptions; a zip archive's first name stands at byte 30 (PKWARE's APPNOTE, 4.3.7).
 */
#include "frontends/data/file_kind.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Rows are tried in order: `at` is where `magic` stands; `within`, when given, stands anywhere in the first bytes. */
static const struct {
    size_t at;
    const char *magic;
    size_t length;
    const char *within, *what;
} kinds[] = {
#define MAGIC(at, magic) at, magic, sizeof magic - 1
    {MAGIC(0, "version https://git-lfs"), NULL,
     "a Git LFS pointer in place of the file: fetch the file itself first (git lfs pull)"},
    {MAGIC(0, "PK\003\004"), "data.pkl", "a PyTorch file: torch.onnx.export writes its model as ONNX"},
    {MAGIC(0, "PK\003\004"), ".npy", "a NumPy .npz archive: its arrays are .npy files"},
    {MAGIC(0, "PK\003\004"), NULL, "a zip archive: unpack it first"},
    {MAGIC(0, "\037\213"), NULL, "a gzip file: unpack it first"},
    {MAGIC(0, "\200\002\212\012"), NULL, "a PyTorch file: torch.onnx.export writes its model as ONNX"},
    {MAGIC(0, "\200\002"), NULL, "a Python pickle"},
    {MAGIC(0, "\200\003"), NULL, "a Python pickle"},
    {MAGIC(0, "\200\004"), NULL, "a Python pickle"},
    {MAGIC(0, "\200\005"), NULL, "a Python pickle"},
    {MAGIC(0, "\211HDF\r\n"), NULL, "an HDF5 file, as Keras writes: tf2onnx writes its model as ONNX"},
    {MAGIC(4, "TFL3"), NULL, "a TensorFlow Lite model: tf2onnx writes it as ONNX"},
    {MAGIC(0, "GGUF"), NULL, "a GGUF file: weights, but no graph"},
    {MAGIC(5, "\0\0\0{"), NULL, "a safetensors file: weights, but no graph"},
    {MAGIC(0, "\223NUMPY"), NULL, "a NumPy array (.npy)"},
    {MAGIC(0, "\211PNG"), NULL, "a picture (PNG)"},
    {MAGIC(0, "\377\330\377"), NULL, "a picture (JPEG)"},
    {MAGIC(0, "GIF8"), NULL, "a picture (GIF)"},
    {MAGIC(0, "%PDF"), NULL, "a PDF"},
    {MAGIC(0, "\177ELF"), NULL, "a program or library (ELF)"},
    {MAGIC(0, "module \""), NULL, "text of Tenon's graphs: such a file's name ends in .tn"},
    {MAGIC(0, "<"), NULL, "a web page or XML"},
    {MAGIC(0, "{"), NULL, "JSON"},
    /* ModelProto begins with its ir_version, and goes on with its producer or its graph. */
    {MAGIC(0, "\010"), "\022", "an ONNX model: such a file's name ends in .onnx"},
    {MAGIC(0, "\010"), "\072", "an ONNX model: such a file's name ends in .onnx"},
#undef MAGIC
};

static bool is_within(const char *text, const char *start, size_t bytes) {
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= bytes; i++)
        if (memcmp(start + i, text, length) == 0) return true;
    return false;
}

const char *file_kind(const void *start, size_t bytes) {
    size_t shown = bytes < FILE_KIND_BYTES ? bytes : FILE_KIND_BYTES;
    for (size_t i = 0; start && i < sizeof kinds / sizeof *kinds; i++) {
        if (shown < kinds[i].at + kinds[i].length) continue;
        if (memcmp((const char *)start + kinds[i].at, kinds[i].magic, kinds[i].length) != 0) continue;
        if (!kinds[i].within || is_within(kinds[i].within, start, shown)) return kinds[i].what;
    }
    return NULL;
}

const char *file_kind_at(const char *path) {
    char start[FILE_KIND_BYTES];
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    size_t bytes = fread(start, 1, sizeof start, f);
    fclose(f);
    return file_kind(start, bytes);
}
