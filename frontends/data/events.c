/* Records for TensorBoard.
 *
 * in:  numbers, tensors, pictures, texts, a graph, each with a tag and a step
 * out: an event file, one `Event` message for each
 * law: what TensorBoard's own reader gives back is what was written
 *
 * Source: TensorFlow's event.proto, summary.proto, graph.proto and what they import.
 */
#include "frontends/data/archive.h"
#include "frontends/data/element.h"
#include "frontends/data/event_file.h"
#include "frontends/data/png.h"
#include "frontends/data/proto_write.h"
#include "frontends/data/utf8.h"
#include "runtime/diag.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Numbers of the fields that are written. */
enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_GRAPH_DEF = 4, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1 };
enum { VALUE_TAG = 1, VALUE_SIMPLE = 2, VALUE_IMAGE = 4, VALUE_HISTOGRAM = 5, VALUE_TENSOR = 8, VALUE_METADATA = 9 };
enum { IMAGE_HEIGHT = 1, IMAGE_WIDTH = 2, IMAGE_COLORSPACE = 3, IMAGE_ENCODED = 4 };
enum {
    HISTO_MIN = 1,
    HISTO_MAX = 2,
    HISTO_NUM = 3,
    HISTO_SUM = 4,
    HISTO_SQUARES = 5,
    HISTO_LIMIT = 6,
    HISTO_BUCKET = 7
};
enum { TENSOR_DTYPE = 1, TENSOR_SHAPE = 2, TENSOR_STRING = 8, DTYPE_STRING = 7 };
enum { METADATA_PLUGIN = 1, PLUGIN_NAME = 1 };
enum { GRAPH_NODE = 1, GRAPH_VERSIONS = 4, VERSIONS_PRODUCER = 1, PRODUCER = 22 };
enum { NODE_NAME = 1, NODE_OP = 2, NODE_INPUT = 3, NODE_ATTR = 5, ATTR_KEY = 1, ATTR_VALUE = 2, ATTR_VALUE_BYTES = 2 };

struct tn_event_writer {
    event_file file;
    proto_buffer message; /* the event that is being made; its memory is reused */
    bool has_graph;
};

/* ---- Events -------------------------------------------------------------------------------- */

static void begin_event(tn_event_writer *w, int64_t step) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    w->message.used = 0;
    w->message.has_failed = false;
    proto_double(&w->message, EVENT_WALL_TIME, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    proto_int(&w->message, EVENT_STEP, step);
}

static tn_status end_event(tn_event_writer *w, tn_diag *diag) {
    if (w->message.has_failed)
        return diag_in_file(diag, diag_fail(diag, TN_ERR_MEMORY, "out of memory for an event"), w->file.path);
    return event_file_append(&w->file, w->message.bytes, w->message.used, diag);
}

static tn_status check_tag(const tn_event_writer *w, const char *tag, tn_diag *diag) {
    if (!w) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no event writer");
    if (tag && *tag && utf8_is_valid(tag)) return TN_OK;
    return diag_in_file(diag, diag_fail(diag, TN_ERR_ARGUMENT, "a tag is missing, empty or no UTF-8"), w->file.path);
}

static tn_status check_tensor(const tn_event_writer *w, const char *tag, const tn_tensor *t, tn_diag *diag) {
    tn_status status = check_tag(w, tag, diag);
    if (status != TN_OK) return status;
    return diag_in_file(diag, named_tensor_check(&(tn_named_tensor){tag, *t}, diag), w->file.path);
}

/* Fails a call, saying which tag and step it was for. */
static tn_status fail_value(const tn_event_writer *w, const char *tag, int64_t step, tn_status status,
                            const char *fault, tn_diag *diag) {
    diag_fail(diag, status, "'%.100s', step %" PRId64 ": %s", tag, step, fault);
    return diag_in_file(diag, status, w->file.path);
}

/* Places of what is open while the value of a summary is written. */
typedef struct summary {
    size_t summary, value;
} summary;

static summary begin_summary(tn_event_writer *w, const char *tag, int64_t step) {
    summary s;
    begin_event(w, step);
    s.summary = proto_begin(&w->message, EVENT_SUMMARY);
    s.value = proto_begin(&w->message, SUMMARY_VALUE);
    proto_text(&w->message, VALUE_TAG, tag);
    return s;
}

static tn_status end_summary(tn_event_writer *w, summary s, tn_diag *diag) {
    proto_end(&w->message, s.value);
    proto_end(&w->message, s.summary);
    return end_event(w, diag);
}

/* ---- Opening and closing ------------------------------------------------------------------- */

tn_status tn_event_writer_new(const char *folder, tn_event_writer **writer, tn_diag *diag) {
    *writer = NULL;
    if (!folder) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no folder");
    tn_event_writer *w = tn_calloc(1, sizeof *w);
    if (!w) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_status status = event_file_new(folder, &w->file, diag);
    if (status != TN_OK) {
        tn_free(w);
        return status;
    }
    begin_event(w, 0);
    proto_text(&w->message, EVENT_FILE_VERSION, "brain.Event:2");
    status = end_event(w, diag);
    if (status == TN_OK) {
        *writer = w;
        return TN_OK;
    }
    unlink(w->file.path);
    tn_event_writer_close(w, NULL);
    return diag_in_file(diag, status, folder);
}

const char *tn_event_writer_path(const tn_event_writer *writer) { return writer ? writer->file.path : NULL; }

tn_status tn_event_writer_close(tn_event_writer *writer, tn_diag *diag) {
    if (!writer) return TN_OK;
    tn_status status = event_file_close(&writer->file, diag);
    tn_free(writer->message.bytes);
    tn_free(writer);
    return status;
}

/* ---- Numbers and texts --------------------------------------------------------------------- */

tn_status tn_event_scalar(tn_event_writer *writer, const char *tag, int64_t step, double value, tn_diag *diag) {
    tn_status status = check_tag(writer, tag, diag);
    if (status != TN_OK) return status;
    summary s = begin_summary(writer, tag, step);
    proto_float(&writer->message, VALUE_SIMPLE, (float)value);
    return end_summary(writer, s, diag);
}

tn_status tn_event_text(tn_event_writer *writer, const char *tag, int64_t step, const char *text, tn_diag *diag) {
    tn_status status = check_tag(writer, tag, diag);
    if (status != TN_OK) return status;
    if (!text || !utf8_is_valid(text))
        return fail_value(writer, tag, step, TN_ERR_ARGUMENT, "the text is missing or no UTF-8", diag);
    proto_buffer *m = &writer->message;
    summary s = begin_summary(writer, tag, step);
    size_t tensor = proto_begin(m, VALUE_TENSOR);
    proto_int(m, TENSOR_DTYPE, DTYPE_STRING);
    proto_end(m, proto_begin(m, TENSOR_SHAPE)); /* a scalar */
    proto_text(m, TENSOR_STRING, text);
    proto_end(m, tensor);
    size_t metadata = proto_begin(m, VALUE_METADATA), plugin = proto_begin(m, METADATA_PLUGIN);
    proto_text(m, PLUGIN_NAME, "text");
    proto_end(m, plugin);
    proto_end(m, metadata);
    return end_summary(writer, s, diag);
}

/* ---- Histograms ---------------------------------------------------------------------------- */

enum { N_BUCKETS = 64 };

typedef struct histogram {
    double least, greatest, sum, squares, limits[N_BUCKETS], counts[N_BUCKETS];
    int64_t n, n_not_finite;
} histogram;

static histogram count(tn_dtype dtype, const void *values, int64_t n) {
    histogram h = {.n = n, .least = DBL_MAX, .greatest = -DBL_MAX};
    for (int64_t i = 0; i < n; i++) {
        double value = element_get(dtype, values, i);
        if (!isfinite(value)) h.n_not_finite++;
        h.least = value < h.least ? value : h.least;
        h.greatest = value > h.greatest ? value : h.greatest;
        h.sum += value;
        h.squares += value * value;
    }
    /* Halves, so that the range of the largest doubles is a number, too. */
    double half_width = (h.greatest / 2 - h.least / 2) / N_BUCKETS;
    for (int i = 0; i < N_BUCKETS; i++) h.limits[i] = h.least + half_width * (i + 1) + half_width * (i + 1);
    h.limits[N_BUCKETS - 1] = h.greatest;
    for (int64_t i = 0; h.n_not_finite == 0 && i < n; i++) {
        double at = half_width > 0 ? (element_get(dtype, values, i) / 2 - h.least / 2) / half_width : N_BUCKETS - 1;
        h.counts[at < N_BUCKETS - 1 ? (int)at : N_BUCKETS - 1]++;
    }
    return h;
}

tn_status tn_event_histogram(tn_event_writer *writer, const char *tag, int64_t step, const tn_tensor *values,
                             tn_diag *diag) {
    if (!values) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no tensor");
    tn_status status = check_tensor(writer, tag, values, diag);
    if (status != TN_OK) return status;
    void *copy;
    const void *elements = dense_elements(values, &copy);
    if (!elements) return fail_value(writer, tag, step, TN_ERR_MEMORY, "out of memory", diag);
    int64_t n = tn_tensor_elements(values);
    histogram h = count(values->dtype, elements, n);
    tn_free(copy);
    if (n == 0) return fail_value(writer, tag, step, TN_ERR_ARGUMENT, "a histogram of no elements", diag);
    if (h.n_not_finite > 0) {
        char fault[100];
        line t = {fault, sizeof fault, 0};
        line_add(&t, "%" PRId64 " of %" PRId64 " elements are not finite", h.n_not_finite, n);
        return fail_value(writer, tag, step, TN_ERR_ARGUMENT, fault, diag);
    }
    proto_buffer *m = &writer->message;
    summary s = begin_summary(writer, tag, step);
    size_t histo = proto_begin(m, VALUE_HISTOGRAM);
    proto_double(m, HISTO_MIN, h.least);
    proto_double(m, HISTO_MAX, h.greatest);
    proto_double(m, HISTO_NUM, (double)n);
    proto_double(m, HISTO_SUM, h.sum);
    proto_double(m, HISTO_SQUARES, h.squares);
    proto_doubles(m, HISTO_LIMIT, h.limits, N_BUCKETS);
    proto_doubles(m, HISTO_BUCKET, h.counts, N_BUCKETS);
    proto_end(m, histo);
    return end_summary(writer, s, diag);
}

/* ---- Pictures ------------------------------------------------------------------------------ */

enum { MOST_PIXELS = 1 << 26 };

static const char *picture_fault(const tn_tensor *t) {
    bool is_float = t->dtype == TN_F16 || t->dtype == TN_BF16 || t->dtype == TN_F32 || t->dtype == TN_F64;
    if (t->dtype != TN_U8 && !is_float) return "the pixels are neither u8 nor floats";
    if (t->rank != 2 && t->rank != 3) return "a picture is [height, width] or [height, width, channels]";
    if (t->rank == 3 && (t->shape[2] < 1 || t->shape[2] > 4)) return "a picture has 1 to 4 channels, its last axis";
    if (t->shape[0] < 1 || t->shape[1] < 1 || t->shape[0] > MOST_PIXELS / t->shape[1])
        return "a picture has at least one pixel and at most 64 million";
    return NULL;
}

/* Pixels as bytes: the elements themselves, or *own. NULL: no memory. */
static const uint8_t *pixels_of(const tn_tensor *t, const void *elements, void **own) {
    *own = NULL;
    if (t->dtype == TN_U8) return elements;
    int64_t n = tn_tensor_elements(t);
    uint8_t *out = *own = tn_malloc((size_t)n);
    for (int64_t i = 0; out && i < n; i++) {
        double value = element_get(t->dtype, elements, i);
        out[i] = value >= 1 ? 255 : value > 0 ? (uint8_t)lround(value * 255) : 0;
    }
    return out;
}

static tn_status write_picture(tn_event_writer *w, const char *tag, int64_t step, const tn_tensor *t,
                               const uint8_t *pixels, tn_diag *diag) {
    int channels = t->rank == 3 ? (int)t->shape[2] : 1;
    size_t bytes;
    uint8_t *png = png_of(pixels, (uint32_t)t->shape[1], (uint32_t)t->shape[0], channels, &bytes);
    if (!png) return fail_value(w, tag, step, TN_ERR_MEMORY, "out of memory", diag);
    proto_buffer *m = &w->message;
    summary s = begin_summary(w, tag, step);
    size_t image = proto_begin(m, VALUE_IMAGE);
    proto_int(m, IMAGE_HEIGHT, t->shape[0]);
    proto_int(m, IMAGE_WIDTH, t->shape[1]);
    proto_int(m, IMAGE_COLORSPACE, channels);
    proto_bytes(m, IMAGE_ENCODED, png, bytes);
    proto_end(m, image);
    tn_free(png);
    return end_summary(w, s, diag);
}

tn_status tn_event_image(tn_event_writer *writer, const char *tag, int64_t step, const tn_tensor *pixels,
                         tn_diag *diag) {
    if (!pixels) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no tensor");
    tn_status status = check_tensor(writer, tag, pixels, diag);
    if (status != TN_OK) return status;
    const char *fault = picture_fault(pixels);
    if (fault) return fail_value(writer, tag, step, TN_ERR_ARGUMENT, fault, diag);
    void *copy, *own = NULL;
    const void *elements = dense_elements(pixels, &copy);
    const uint8_t *bytes = elements ? pixels_of(pixels, elements, &own) : NULL;
    status = bytes ? write_picture(writer, tag, step, pixels, bytes, diag)
                   : fail_value(writer, tag, step, TN_ERR_MEMORY, "out of memory", diag);
    tn_free(own);
    tn_free(copy);
    return status;
}

/* ---- Graphs -------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_text(const char *text) { return text && *text && utf8_is_valid(text); }

static tn_status check_node(const tn_event_node *node, const char *const *sorted, size_t n, tn_diag *diag) {
    for (int i = 0; i < node->n_inputs; i++) {
        const char *input = node->inputs[i];
        if (!input || !bsearch(&input, sorted, n, sizeof *sorted, compare_names))
            return diag_fail(diag, TN_ERR_ARGUMENT, "node '%.100s': its input '%.100s' is no node", node->name,
                             input ? input : "(null)");
    }
    return TN_OK;
}

static tn_status check_graph(const tn_event_node *nodes, const char **sorted, size_t n, tn_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        if (!is_text(nodes[i].name) || !is_text(nodes[i].op) || (nodes[i].type && !utf8_is_valid(nodes[i].type)))
            return diag_fail(diag, TN_ERR_ARGUMENT, "node %zu: its name or op is missing, or a text is no UTF-8", i);
        sorted[i] = nodes[i].name;
    }
    if (n > 1) qsort(sorted, n, sizeof *sorted, compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            return diag_fail(diag, TN_ERR_ARGUMENT, "two nodes are called '%.100s'", sorted[i]);
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < n; i++) status = check_node(&nodes[i], sorted, n, diag);
    return status;
}

static void put_node(proto_buffer *m, const tn_event_node *node) {
    size_t place = proto_begin(m, GRAPH_NODE);
    proto_text(m, NODE_NAME, node->name);
    proto_text(m, NODE_OP, node->op);
    for (int i = 0; i < node->n_inputs; i++) proto_text(m, NODE_INPUT, node->inputs[i]);
    if (node->type) {
        size_t attr = proto_begin(m, NODE_ATTR);
        proto_text(m, ATTR_KEY, "type");
        size_t value = proto_begin(m, ATTR_VALUE);
        proto_text(m, ATTR_VALUE_BYTES, node->type);
        proto_end(m, value);
        proto_end(m, attr);
    }
    proto_end(m, place);
}

tn_status tn_event_graph(tn_event_writer *writer, const tn_event_node *nodes, int64_t n_nodes, tn_diag *diag) {
    if (!writer || n_nodes < 0)
        return diag_fail(diag, TN_ERR_ARGUMENT, "no event writer, or a negative number of nodes");
    if (writer->has_graph)
        return diag_in_file(diag, diag_fail(diag, TN_ERR_ARGUMENT, "the file has a graph already"), writer->file.path);
    const char **sorted = tn_calloc((size_t)n_nodes, sizeof *sorted);
    tn_status status =
        sorted ? check_graph(nodes, sorted, (size_t)n_nodes, diag) : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_free(sorted);
    if (status != TN_OK) return diag_in_file(diag, status, writer->file.path);
    proto_buffer *m = &writer->message;
    begin_event(writer, 0);
    size_t graph = proto_begin(m, EVENT_GRAPH_DEF);
    for (int64_t i = 0; i < n_nodes; i++) put_node(m, &nodes[i]);
    size_t versions = proto_begin(m, GRAPH_VERSIONS);
    proto_int(m, VERSIONS_PRODUCER, PRODUCER);
    proto_end(m, versions);
    proto_end(m, graph);
    status = end_event(writer, diag);
    writer->has_graph = status == TN_OK;
    return status;
}
