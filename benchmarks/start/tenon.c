/* From nothing to a first output with Tenon: load, compile or take from the cache, run once, on one thread.
 *
 * The cache is where TENON_CACHE_DIR says; without it the model is compiled.
 */
#include "benchmarks/start/start.h"
#include "tenon_compile.h"
#include "tenon_onnx.h"

#include <string.h>

int main(int argc, char **argv) {
    start_work w = start_read(argc, argv);
    tn_module *m = tn_onnx_load(w.model, NULL);
    if (!m || tn_module_error(m)) start_fail(m ? tn_module_error(m)->message : "no memory");
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) start_fail(tn_module_error(m)->message);
    tn_exec *e = tn_exec_new(p, NULL);
    tn_tensor in = tn_tensor_of(TN_F32, w.data, w.rank, w.dims);
    if (!e || tn_exec_set_input(e, w.input, &in) != TN_OK || tn_exec_run(e, NULL, 0, NULL, 0) != TN_OK)
        start_fail(e && tn_exec_error(e) ? tn_exec_error(e)->message : "no memory");
    const tn_tensor *out = tn_exec_output_named(e, w.output);
    start_tell(out->data, (size_t)tn_tensor_elements(out));
    tn_exec_free(e);
    tn_program_free(p);
    tn_module_free(m);
    return 0;
}
