/* Stages by name (see stage.h). */
#include "frontends/cli/stage.h"

#include "frontends/cli/model.h"
#include "ir/near.h"

#include <string.h>

int stage_number(const char *name) {
    const char *const *names = tn_stage_names();
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0) return strcmp(name, "object") == 0 ? -1 : i;
    return -1;
}

bool stage_is_graph(const char *name) { return stage_number(name) >= 0 && stage_number(name) < stage_number("loops"); }

int stage_check(const arguments *a) {
    const char *stage = TEXT_OF(a, after);
    near_names near = {.wanted = stage};
    char text[120];
    if (!GIVEN(a, after) || stage_number(stage) >= 0) return EXIT_DONE;
    for (const char *const *name = tn_stage_names(); *name; name++)
        if (stage_number(*name) >= 0) near_offer(&near, *name);
    return options_complain(a->command, "--after: there is no stage %s%s", stage, near_text(&near, text, sizeof text));
}

int stage_check_graph(const arguments *a) {
    int status = stage_check(a);
    if (status || !GIVEN(a, after) || stage_is_graph(TEXT_OF(a, after))) return status;
    return options_complain(a->command, "--after: %s is more than a graph; fuse is the last stage that is one",
                            TEXT_OF(a, after));
}

typedef struct visiting {
    const char *stage;
    int (*visit)(void *ctx, tn_module *m);
    void *ctx;
    int status;
} visiting;

static bool at_stage(void *ctx, compilation *c, const char *stage) {
    visiting *v = ctx;
    if (strcmp(stage, v->stage) != 0) return true;
    v->status = v->visit(v->ctx, c->module);
    return false;
}

int stage_visit(const arguments *a, tn_module *m, const char *stage, int (*visit)(void *ctx, tn_module *m), void *ctx) {
    visiting v = {.stage = stage, .visit = visit, .ctx = ctx};
    compilation c;
    tn_compile_options options;
    if (!stage) return visit(ctx, m);
    model_compile_options(a, &options);
    compilation_goal goal = {.prefix = "", .last = stage, .inspect = at_stage, .inspect_ctx = &v};
    if (!compilation_run(&c, m, &options, &goal) && !v.status) v.status = report(a->operands[0], &c.diag);
    compilation_end(&c);
    return v.status;
}
