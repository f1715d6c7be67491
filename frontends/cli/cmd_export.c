/* tenon export: a model as an ONNX file. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"

int command_export(const arguments *a) {
    const char *out = TEXT_OF(a, output);
    if (!GIVEN(a, output)) return options_complain(a->command, "where to write is missing: -o FILE.onnx");
    tn_onnx_write_options options = {.drop_effects = GIVEN(a, drop_effects)};
    if (GIVEN(a, opset)) {
        options.opset = (int)a->options[OPTION_opset].number;
        if (options.opset < TN_ONNX_LEAST_OPSET || options.opset > TN_ONNX_MOST_OPSET)
            return options_complain(a->command, "--opset: it must be %d to %d", TN_ONNX_LEAST_OPSET,
                                    TN_ONNX_MOST_OPSET);
    }
    tn_module *m = model_load(a->operands[0]);
    tn_diag diag = {0};
    int status = m ? EXIT_DONE : EXIT_INPUT;
    if (m && tn_onnx_write(m, out, &options, &diag) != TN_OK) status = report(diag.file ? diag.file : out, &diag);
    tn_module_free(m);
    return status;
}
