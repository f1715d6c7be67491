/* From nothing to a first output with ONNX Runtime: its shared library (ORT_LIBRARY names it, in place of linking),
 * a session with one thread and all optimisations, a run.
 *
 * Its package for Python has no headers. What is needed of the interface is stated here: a struct of functions in an order
 * that later versions only add to, version 1 of which is asked for; anonymous slots are functions that are not called.
 */
#include "benchmarks/start/start.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *ort_status; /* NULL: good */

typedef struct ort_api {
    void *create_status, *get_error_code;
    const char *(*get_error_message)(ort_status status);
    ort_status (*create_env)(int severity, const char *name, void **env);
    void *slots_4[3];
    ort_status (*create_session)(void *env, const char *model, void *options, void **session);
    void *create_session_from_array;
    ort_status (*run)(void *session, void *options, const char *const *inputs, void *const *values, size_t n_inputs,
                      const char *const *outputs, size_t n_outputs, void **results);
    ort_status (*create_session_options)(void **options);
    void *slots_11[13];
    ort_status (*set_intra_op_threads)(void *options, int threads);
    ort_status (*set_inter_op_threads)(void *options, int threads);
    void *slots_26[23];
    ort_status (*create_tensor)(void *memory, void *data, size_t bytes, const int64_t *dims, size_t rank, int dtype,
                                void **value);
    void *is_tensor;
    ort_status (*get_data)(void *value, void **data);
    void *slots_52[17];
    ort_status (*create_cpu_memory)(int allocator, int type, void **memory);
} ort_api;

typedef struct ort_base {
    const ort_api *(*get_api)(uint32_t version);
} ort_base;

enum { WARNINGS = 2, DEVICE_ALLOCATOR = 0, DEFAULT_MEMORY = 0, FLOAT = 1 };

static const ort_api *api;

static void check(ort_status status) {
    if (status) start_fail(api->get_error_message(status));
}

static const ort_api *load(void) {
    const char *path = getenv("ORT_LIBRARY");
    void *library = path ? dlopen(path, RTLD_LAZY) : NULL, *symbol = library ? dlsym(library, "OrtGetApiBase") : NULL;
    const ort_base *(*get_base)(void);
    if (!symbol) start_fail("ORT_LIBRARY does not name ONNX Runtime's library");
    memcpy(&get_base, &symbol, sizeof symbol);
    return get_base()->get_api(1);
}

int main(int argc, char **argv) {
    start_work w = start_read(argc, argv);
    void *env, *options, *session, *memory, *in, *out = NULL, *data;
    api = load();
    check(api->create_env(WARNINGS, "start", &env));
    check(api->create_session_options(&options));
    check(api->set_intra_op_threads(options, 1));
    check(api->set_inter_op_threads(options, 1));
    check(api->create_session(env, w.model, options, &session));
    check(api->create_cpu_memory(DEVICE_ALLOCATOR, DEFAULT_MEMORY, &memory));
    check(api->create_tensor(memory, w.data, w.bytes, w.dims, (size_t)w.rank, FLOAT, &in));
    check(api->run(session, NULL, &w.input, &in, 1, &w.output, 1, &out));
    check(api->get_data(out, &data));
    start_tell(data, 4); /* the outputs of all rows have more */
    return 0;
}
