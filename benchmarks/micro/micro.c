/* Micro-benchmarks: each loop class as a share of what the machine can do.
 *
 *     build/bench/micro [--threads N] [--quick] [--only GROUP] [--json FILE]
 *
 * First the machine (machine.c), then each class. A figure is the best of many runs. After the table one line of JSON,
 * or in FILE.
 */
#include "benchmarks/micro/micro.h"

#include <string.h>

micro bench;

bool is_wanted(const char *group) { return !bench.options.only || strcmp(group, bench.options.only) == 0; }

static void usage(void) {
    printf("usage: micro [--threads N] [--quick] [--only GROUP] [--json FILE]\n"
           "Measures each loop class as a share of what this machine can do.\n");
}

int main(int argc, char **argv) {
    static void (*const parts[])(void) = {measure_tile,     measure_dots,      measure_convs, measure_winograd,
                                          measure_training, measure_attention, measure_memory};
    bench.options = (settings){.threads = 1, .seconds = 0.3};
    long threads;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && (threads = strtol(argv[i + 1], NULL, 10)) > 0 &&
            threads <= 1024)
            bench.options.threads = (int)threads, i++;
        else if (strcmp(argv[i], "--quick") == 0)
            bench.options.seconds = 0.05;
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
            bench.options.json_path = argv[++i];
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            bench.options.only = argv[++i];
        else {
            usage();
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
    }
    if (bench.options.threads > 1 && !(bench.pool = tn_pool_new(bench.options.threads))) stop("no thread pool");
    write_heading();
    measure_machine();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) parts[i]();
    tn_pool_free(bench.pool);
    return write_json();
}
