/* tenon export: a model, or what the graph passes have made of it, as an ONNX file. */
#include "frontends/cli/commands.h"
#include "frontends/cli/dump.h"
#include "frontends/cli/model.h"
#include "ir/graph.h"

#include <string.h>

typedef struct exporting {
    const char *out;
    const tn_onnx_write_options *options;
    const char *stage;
    int status;
} exporting;

static int write_module(const exporting *e, const tn_module *m) {
    tn_diag diag = {0};
    if (tn_onnx_write(m, e->out, e->options, &diag) == TN_OK) return EXIT_DONE;
    return report(diag.file ? diag.file : e->out, &diag);
}

static bool write_stage(void *ctx, compilation *c, const char *stage) {
    exporting *e = ctx;
    if (strcmp(stage, e->stage) != 0) return true;
    e->status = write_module(e, c->module);
    return false;
}

/* The model is compiled up to the stage. */
static int export_stage(exporting *e, tn_module *m, const arguments *a) {
    compilation c;
    tn_compile_options options;
    model_compile_options(a, &options);
    compilation_goal goal = {.prefix = "", .last = e->stage, .inspect = write_stage, .inspect_ctx = e};
    if (!compilation_run(&c, m, &options, &goal) && !e->status) e->status = report(a->operands[0], &c.diag);
    compilation_end(&c);
    return e->status;
}

/* Whether it ends with a graph: the stages behind the passes have loops and code besides. */
static bool is_graph_stage(const char *stage) {
    return dump_stage_number(stage) >= 0 && dump_stage_number(stage) < dump_stage_number("loops");
}

int command_export(const arguments *a) {
    exporting e = {.out = TEXT_OF(a, output), .stage = GIVEN(a, after) ? TEXT_OF(a, after) : NULL};
    if (!GIVEN(a, output)) return options_complain(a->command, "where to write is missing: -o FILE.onnx");
    if (!ends_with(e.out, ".onnx"))
        return options_complain(a->command, "-o: %s does not end in .onnx, and ONNX is what is written", e.out);
    tn_onnx_write_options options = {.drop_effects = GIVEN(a, drop_effects)};
    e.options = &options;
    if (GIVEN(a, opset)) {
        options.opset = (int)a->options[OPTION_opset].number;
        if (options.opset < TN_ONNX_LEAST_OPSET || options.opset > TN_ONNX_MOST_OPSET)
            return options_complain(a->command, "--opset: it must be %d to %d", TN_ONNX_LEAST_OPSET,
                                    TN_ONNX_MOST_OPSET);
    }
    if (e.stage && dump_stage_number(e.stage) < 0) return dump_complain_of_stage(a, e.stage);
    if (e.stage && !is_graph_stage(e.stage))
        return options_complain(a->command, "--after: %s is more than a graph; fuse is the last stage that is one",
                                e.stage);
    tn_module *m = model_load(a->operands[0]);
    int status = !m ? EXIT_INPUT : e.stage ? export_stage(&e, m, a) : write_module(&e, m);
    tn_module_free(m);
    return status;
}
