/* One JSON object to stdout (see json.h). */
#include "frontends/cli/json.h"

#include "frontends/cli/options.h"

#include <stdio.h>

int print_json(json_t *all) {
    bool ok = all && json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0;
    printf("\n");
    json_decref(all);
    if (!ok) fprintf(stderr, "tenon: error: no JSON could be written\n");
    return ok ? EXIT_DONE : EXIT_INPUT;
}
