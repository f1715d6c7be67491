/* tenon cache: what is in the cache of compiled programs. */
#include "frontends/cli/commands.h"
#include "frontends/cli/json.h"
#include "frontends/cli/model.h"

#include <stdio.h>
#include <string.h>

static int print_info(const arguments *a, const tn_cache_info *info, const char *what) {
    if (GIVEN(a, json))
        return print_json(json_pack("{s:s, s:I, s:I, s:I}", "folder", info->folder, "entries",
                                    (json_int_t)info->entries, "bytes", (json_int_t)info->bytes, "limit_bytes",
                                    (json_int_t)info->limit_bytes));
    printf("%s: %s%llu programs, %.1f MiB (limit %.1f MiB)\n", info->folder, what, (unsigned long long)info->entries,
           (double)info->bytes / (1 << 20), (double)info->limit_bytes / (1 << 20));
    return EXIT_DONE;
}

int command_cache(const arguments *a) {
    bool clears = strcmp(a->operands[0], "clear") == 0;
    if (!clears && strcmp(a->operands[0], "stats") != 0)
        return options_complain(a->command, "\"%s\": it can be \"stats\" or \"clear\"", a->operands[0]);
    tn_cache_info info;
    tn_diag diag = {0};
    tn_status status = clears ? tn_cache_clear(&info, &diag) : tn_cache_stats(&info, &diag);
    if (status != TN_OK) return report(info.folder[0] ? info.folder : "the cache", &diag);
    return print_info(a, &info, clears ? "removed " : "");
}
