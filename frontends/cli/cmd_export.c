/* tenon export: a model, or what the graph passes have made of it, as an ONNX file. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "frontends/cli/stage.h"

typedef struct exporting {
    const char *out;
    tn_onnx_write_options options;
} exporting;

static int write_module(void *ctx, tn_module *m) {
    const exporting *e = ctx;
    tn_diag diag = {0};
    if (tn_onnx_write(m, e->out, &e->options, &diag) == TN_OK) return EXIT_DONE;
    return report(diag.file ? diag.file : e->out, &diag);
}

int command_export(const arguments *a) {
    exporting e = {.out = TEXT_OF(a, output), .options = {.drop_effects = GIVEN(a, drop_effects)}};
    if (!GIVEN(a, output)) return options_complain(a->command, "where to write is missing: -o FILE.onnx");
    if (!ends_with(e.out, ".onnx"))
        return options_complain(a->command, "-o: %s does not end in .onnx, and ONNX is what is written", e.out);
    if (GIVEN(a, opset)) {
        e.options.opset = (int)a->options[OPTION_opset].number;
        if (e.options.opset < TN_ONNX_LEAST_OPSET || e.options.opset > TN_ONNX_MOST_OPSET)
            return options_complain(a->command, "--opset: it must be %d to %d", TN_ONNX_LEAST_OPSET,
                                    TN_ONNX_MOST_OPSET);
    }
    int status = stage_check_graph(a);
    if (status) return status;
    tn_module *m = model_load(a->operands[0]);
    status = m ? stage_visit(a, m, GIVEN(a, after) ? TEXT_OF(a, after) : NULL, write_module, &e) : EXIT_INPUT;
    tn_module_free(m);
    return status;
}
