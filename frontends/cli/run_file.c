/* Tensors from files: NumPy, ONNX TensorProto, pictures (see model.h). */
#include "frontends/cli/model.h"
#include "frontends/data/file_kind.h"
#include "frontends/data/npy.h"
#include "frontends/data/picture.h"
#include "frontends/onnx/tensorproto.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool make_tensor(eval_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor shape = tn_tensor_of(dtype, NULL, rank, dims);
    int64_t bytes = tn_tensor_bytes(&shape);
    *t = (eval_tensor){.dtype = dtype, .rank = rank, .n = tn_tensor_elements(&shape)};
    if (rank > 0) memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    t->data = bytes >= 0 ? tn_calloc((size_t)bytes + 1, 1) : NULL;
    if (t->data && data) memcpy(t->data, data, (size_t)bytes);
    return t->data != NULL;
}

static int read_numpy(const char *path, eval_tensor *t) {
    npy_array array;
    tn_diag diag = {0};
    if (npy_read(path, &array, &diag) != TN_OK) return report(path, &diag);
    bool ok = make_tensor(t, array.dtype, array.rank, array.dims, array.data);
    npy_free(&array);
    return ok ? 0 : report_text(path, "out of memory");
}

static int read_proto(const char *path, eval_tensor *t) {
    onnx_tensor_file file;
    tn_diag diag = {0};
    if (tensorproto_file_open(path, &file, &diag) != TN_OK) return report(path, &diag);
    bool ok = make_tensor(t, file.info.dtype, file.info.rank, file.info.dims, file.data);
    tensorproto_file_close(&file);
    return ok ? 0 : report_text(path, "out of memory");
}

/* Up to three numbers "A[,B,C]"; one stands for all channels. */
static bool read_channels(const char *text, float out[3]) {
    int n = 0;
    for (char *end; text && *text && n < 3; text = *end == ',' ? end + 1 : end) {
        out[n++] = strtof(text, &end);
        if (end == text || (*end && *end != ',')) return false;
    }
    if (n == 1) out[1] = out[2] = out[0];
    return n == 1 || n == 3;
}

/* "WxH", two numbers from 1 to 99999. */
static bool read_size(const char *text, int *width, int *height) {
    char *end;
    long w = strtol(text, &end, 10), h = *end == 'x' ? strtol(end + 1, &end, 10) : 0;
    if (*end || w < 1 || h < 1 || w > 99999 || h > 99999) return false;
    *width = (int)w;
    *height = (int)h;
    return true;
}

/* What has another ending than .npy and .pb is taken for a picture: says so when it is none. */
static int complain_of_picture(const char *path, const tn_diag *diag) {
    const char *kind = file_kind_at(path);
    if (diag->status != TN_ERR_PARSE) return report(path, diag);
    if (kind && strncmp(kind, "a picture", 9) != 0)
        return report_text(path, "neither .npy nor .pb, and no picture; this is %s", kind);
    return report_text(path, "neither .npy nor .pb, and as a picture: %s", diag->message);
}

static int read_picture(const char *path, const arguments *a, eval_tensor *t) {
    picture_options options = {.is_bgr = GIVEN(a, image_bgr)};
    const char *layout = TEXT_OF(a, image_layout), *size = TEXT_OF(a, image_size);
    if (size && !read_size(size, &options.width, &options.height))
        return options_complain(a->command, "--image-size: %s is not WxH", size);
    options.layout = layout && strcmp(layout, "nhwc") == 0 ? PICTURE_NHWC : PICTURE_NCHW;
    if ((GIVEN(a, image_mean) && !read_channels(TEXT_OF(a, image_mean), options.mean)) ||
        (GIVEN(a, image_scale) && !read_channels(TEXT_OF(a, image_scale), options.scale)))
        return options_complain(a->command,
                                "--image-mean and --image-scale take one number, or three with commas between");
    int64_t dims[4];
    float *values;
    tn_diag diag = {0};
    if (picture_load(path, &options, dims, &values, &diag) != TN_OK) return complain_of_picture(path, &diag);
    bool ok = make_tensor(t, TN_F32, 4, dims, values);
    tn_free(values);
    return ok ? 0 : report_text(path, "out of memory");
}

int read_input_file(const char *path, const arguments *a, eval_tensor *t) {
    if (ends_with(path, ".npy")) return read_numpy(path, t);
    return ends_with(path, ".pb") ? read_proto(path, t) : read_picture(path, a, t);
}
