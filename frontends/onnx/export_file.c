/* The bytes of a model, in memory or in a file, and its weights (see export.h). */
#include "frontends/onnx/export.h"

#include "frontends/onnx/proto_encode.h"
#include "frontends/onnx/proto_tables.h"
#include "frontends/onnx/tensorproto.h"
#include "runtime/diag.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DATA_ALIGNMENT = 4096, LEAST_OUTSIDE_BYTES = 1024 };
#define MOST_MODEL_BYTES ((size_t)INT32_MAX) /* of a protobuf message */

/* ---- Weights --------------------------------------------------------------------------------------------- */

static bool add_entry(exporter *x, onnx_entry *e, const char *key, uint64_t number) {
    e->key = key;
    e->value = arena_printf(&x->memory, "%" PRIu64, number);
    return e->value || export_no_memory(x);
}

/* Where a tensor's bytes are in the file beside the model's. */
static bool refer(exporter *x, onnx_tensor *t, const char *data_name, uint64_t offset, size_t bytes) {
    onnx_entry *entries = ARENA_ARRAY(&x->memory, onnx_entry, 3);
    if (!entries) return export_no_memory(x);
    t->raw_data = (onnx_bytes){0};
    t->data_field = 0;
    t->data_location = 1;
    t->external.items = entries;
    t->external.count = 3;
    entries[0] = (onnx_entry){"location", data_name};
    return add_entry(x, &entries[1], "offset", offset) && add_entry(x, &entries[2], "length", bytes);
}

static bool is_outside(const tensor_data *data) { return data->bytes >= LEAST_OUTSIDE_BYTES; }

static uint64_t next_offset(uint64_t offset, size_t bytes) {
    return (offset + bytes + DATA_ALIGNMENT - 1) / DATA_ALIGNMENT * DATA_ALIGNMENT;
}

bool export_tensor(exporter *x, const tensor_data *data, const char *name, onnx_tensor *t) {
    int64_t *dims = ARENA_ARRAY(&x->memory, int64_t, data->type.rank + 1);
    if (!dims) return export_no_memory(x);
    for (int k = 0; k < data->type.rank; k++) dim_is_const(export_dims(x), data->type.dims[k], &dims[k]);
    *t = (onnx_tensor){.name = name, .data_type = onnx_data_type_of((tn_dtype)data->type.dtype)};
    t->dims.items = dims;
    t->dims.count = data->type.rank;
    t->data_field = 9;
    t->raw_data = (onnx_bytes){data->data, data->bytes};
    return true;
}

bool export_weights(exporter *x, const char *data_name) {
    onnx_graph *graph = x->blocks->graph;
    uint64_t offset = 0;
    graph->initializers.items = ARENA_ARRAY(&x->memory, onnx_tensor, x->weights.n + 1);
    graph->initializers.count = x->weights.n;
    if (!graph->initializers.items) return export_no_memory(x);
    for (size_t i = 0; i < x->weights.n; i++) {
        const tensor_data *data = x->weights.items[i].data;
        onnx_tensor *t = &graph->initializers.items[i];
        if (!export_tensor(x, data, x->weights.items[i].l->text, t)) return false;
        if (!data_name || !is_outside(data)) continue;
        if (!refer(x, t, data_name, offset, data->bytes)) return false;
        offset = next_offset(offset, data->bytes);
    }
    return true;
}

/* ---- Files ------------------------------------------------------------------------------------------------- */

static bool write_file(void *ctx, const void *bytes, size_t n) { return n == 0 || fwrite(bytes, 1, n, ctx) == n; }

static tn_status io_error(tn_diag *diag) {
    return diag_fail(diag, TN_ERR_IO, "cannot be written: %s", strerror(errno));
}

/* Writes to a file of another name that becomes `path` when it is complete and on the disk. */
static tn_status write_whole(exporter *x, const char *path, bool (*fill)(exporter *x, FILE *f), tn_diag *diag) {
    char *draft = arena_printf(&x->memory, "%s.part", path);
    if (!draft) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    errno = 0;
    FILE *f = fopen(draft, "wb");
    if (!f) return io_error(diag);
    bool ok = fill(x, f) && fflush(f) == 0 && fsync(fileno(f)) == 0;
    ok = fclose(f) == 0 && ok;
    ok = ok && rename(draft, path) == 0;
    tn_status status = ok ? TN_OK : io_error(diag);
    if (!ok) remove(draft);
    return status;
}

static bool fill_model_file(exporter *x, FILE *f) {
    return proto_encode(&onnx_model_message, &x->model, write_file, f);
}

static bool fill_data_file(exporter *x, FILE *f) {
    static const char zeros[DATA_ALIGNMENT];
    for (size_t i = 0; i < x->weights.n; i++) {
        const tensor_data *data = x->weights.items[i].data;
        if (!is_outside(data)) continue;
        size_t gap = (size_t)(next_offset(0, data->bytes) - data->bytes);
        if (!write_file(f, data->data, data->bytes) || !write_file(f, zeros, gap)) return false;
    }
    return true;
}

static uint64_t weight_bytes(const exporter *x) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < x->weights.n; i++) bytes += x->weights.items[i].data->bytes;
    return bytes;
}

static tn_status check_size(const exporter *x, size_t *bytes, tn_diag *diag) {
    *bytes = proto_encoded_size(&onnx_model_message, &x->model);
    if (*bytes <= MOST_MODEL_BYTES) return TN_OK;
    return diag_fail(diag, TN_ERR_LIMIT, "the model takes more than the 2 GB that its format allows");
}

tn_status export_to_file(exporter *x, const char *path, tn_diag *diag) {
    bool is_large = weight_bytes(x) > x->options.most_inside_bytes;
    const char *slash = strrchr(path, '/');
    char *data_path = arena_printf(&x->memory, "%s.data", path),
         *data_name = arena_printf(&x->memory, "%s.data", slash ? slash + 1 : path);
    size_t bytes;
    if (!data_path || !data_name || !export_weights(x, is_large ? data_name : NULL))
        return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_status status = check_size(x, &bytes, diag);
    if (status == TN_OK && is_large) status = write_whole(x, data_path, fill_data_file, diag);
    return status == TN_OK ? write_whole(x, path, fill_model_file, diag) : status;
}

/* ---- Memory --------------------------------------------------------------------------------------------------- */

tn_status export_to_memory(exporter *x, void **bytes, size_t *n, tn_diag *diag) {
    if (!export_weights(x, NULL)) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_status status = check_size(x, n, diag);
    if (status != TN_OK) return status;
    *bytes = proto_encode_to_memory(&onnx_model_message, &x->model, *n);
    return *bytes ? TN_OK : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
}
