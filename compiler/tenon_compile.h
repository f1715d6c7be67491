/* Compiling graphs: to a program in this process, to an object file, or to the text of a stage. */
#ifndef TENON_COMPILE_H
#define TENON_COMPILE_H

#include "tenon_graph.h"
#include "tenon_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What happens to a watcher: after each stage, and (with `time`) how long it took. */
typedef struct tn_stage_report {
    /* "import", "target" (code generation is made ready), a pass by name, "loops", "plan", "llvm", "asm", "object"; of
     * programs also "link", "prepare" (weights are packed), and "store" (an entry of the cache is written) or, in place
     * of all, "cache" (it came from there). */
    const char *name;
    double milliseconds; /* of this stage */
    const char *text;    /* the stage's text, when it was asked for; else NULL */
} tn_stage_report;

/* A user's own op: what the nodes `custom` of that name run. Operands and results are contiguous,
 * row-major; `dims` has the sizes of all operands' axes, then of all results', each tensor's in
 * order. It is called on the thread that runs the program, by several at a time when the program is run so,
 * and returns 0, or anything else to make the run return TN_ERR_CUSTOM. */
typedef struct tn_custom_op {
    const char *name;
    int32_t (*call)(void *ctx, void *const *operands, void *const *results, const int64_t *dims);
    void *ctx; /* must live as long as the program */
} tn_custom_op;

/* All zero: the defaults. */
typedef struct tn_compile_options {
    const char *target;      /* NULL or "native": this machine; or x86-64-v2, x86-64-v3, x86-64-v4, aarch64-linux-gnu,
                              * riscv64-linux-gnu, arm-none-eabi (Cortex-M7), wasm32 (with simd128). A program is made
                              * only of one that this machine can run; an object of any */
    const char *cpu;         /* LLVM's name of one, e.g. "znver4", "cortex-a72"; NULL: the target's */
    const char *features;    /* beyond what the CPU has, or less, by LLVM's names: "+avx2,-fma"; NULL: none */
    int level;               /* of code generation, 1 to 3; 0: chosen by Tenon (2) */
    bool no_fusion;          /* every node its own kernel */
    bool trust_loops;        /* loop trees in a module's text may be others than its graph is lowered to; they
                              * are then run as they stand, with no check of what memory they access */
    bool verify_each;        /* run the verifier after every pass (always in debug builds) */
    bool perf_map;           /* write /tmp/perf-PID.map for `perf` */
    size_t fold_limit_bytes; /* results larger than this are not folded; 0: 1 MiB */
    double hoist_growth;     /* packed weights may be this many times the raw ones; 0: 4 */
    const char *winograd;    /* "on", or NULL: Winograd's algorithm for convolutions it suits; "off" */
    /* "on": products of 128 rows and more by weights of f32 of 512 x 512 and more, all even, are done by one level of
     * Strassen's algorithm in Winograd's form, seven multiplications for eight: a tenth faster on one thread. Such
     * weights take 1.75 times the memory, loading takes longer, and an error is relative to the largest elements of the
     * rows and columns that meet, not to those of its own sum. NULL or "off": plain products. */
    const char *strassen;
    /* NULL or "own": Tenon's own matrix products. "blas": those of f32 and f64 by OpenBLAS, loaded by name from
     * the system, on one thread, outside the promises on bits and allocation; TN_ERR_UNSUPPORTED where
     * it is not installed. In an object they are hooks->custom's, as ops blas.<dtype>.<n|t><n|t> on [batch, rows,
     * columns] operands that lie as they are (n) or transposed (t). */
    const char *gemm;
    /* How weights that products multiply by (the second operand of dot, of f32, known when the program is loaded, from
     * 4,096 elements on) are stored; sums are kept in f32. NULL or "f32": as they are. "bf16": rounded to that, each is
     * off by at most 2^-8 of itself. "int8": as whole numbers from -127 to 127 times a scale for each column of the
     * product, max |w| / 127; each is off by at most half a scale. Weights must be finite. For models whose time is
     * that of reading weights. Not with gemm "blas". */
    const char *weight_type;
    /* A file: code gets debug information (DWARF), by which debuggers show the lines of this text, that of the stage
     * "loops". It is written, and constants of over 64 elements to a file of that name and .bin; the folder must be
     * there. Code of kernels, and results, are the same as without. Programs are compiled anew, whatever is in the
     * cache. NULL: none. */
    const char *debug_info;
    /* Which lines debuggers show: "loops" or NULL, those of that text; "source": those of the user's files that nodes were
     * written in or built by (.tn, C), where such a file is there, else those of the text. */
    const char *debug_lines;
    tn_pool *pool; /* that compiles, and that the program's runs use; NULL: the calling thread alone */
    const tn_custom_op
        *customs; /* the list is copied; ops that are not in it fail, unless an exec's hooks have `custom` */
    int n_customs;
    /* Runs look for NaN: one in an input, a weight or what an op computes makes tn_exec_run return TN_ERR_NAN, and the
     * message names the op that made the first, its place in the source, and the element. What only the branch of a
     * `select` that is not taken would read is no error, nor is what is_nan asks about. What a user's own op makes is looked
     * at by the ops that read it. Results are the same, bit for bit. Not with gemm "blas". docs/DEBUGGING.md */
    bool nan_check;
    bool freestanding;      /* an object that needs no symbol at all, not even memcpy; arm-none-eabi always is so */
    const char *stop_after; /* for tn_compile_text: last stage to run */
    /* "on": a program is taken from the cache of compiled programs when it is there, and put there when it is not
     * (docs/CACHE.md). The folder is TENON_CACHE_DIR, else tenon in XDG_CACHE_HOME, else ~/.cache/tenon. "off": it is
     * compiled. NULL: "on" when TENON_CACHE_DIR is set. What is the same: results, descriptions, messages. */
    const char *cache;
    uint64_t cache_bytes; /* that the cache may take; 0: what TENON_CACHE_BYTES says (500M, 2G), else 1 GiB */
    /* Told of what is wrong with the cache, which never makes a compilation fail: TN_ERR_PARSE or TN_ERR_INTERNAL for an
     * entry that was damaged, TN_ERR_IO for a folder that cannot be used. `what` lives as long as the call. */
    void (*warn)(void *ctx, const tn_diag *what);
    void *warn_ctx;
    /* Called after each stage; text is given for the stage `watch_text`, or for all when that is "all". */
    void (*watch)(void *ctx, const tn_stage_report *report);
    void *watch_ctx;
    const char *watch_text;
} tn_compile_options;

/* Compiles the graph g, with all that it calls, as a program whose inputs and outputs are the
 * graph's. The graph is not changed and may be freed or compiled again; data given to tn_weight
 * must live as long as the program. Options NULL: defaults. NULL on errors, also those recorded
 * while building: tn_graph_error(g) has the diagnostic, until the next compilation when it is not of the graph
 * itself but of this one (its options, say). The caller frees with tn_program_free. */
TN_API tn_program *tn_compile(tn_graph *g, const tn_compile_options *options);

/* The same for the main function of a module. */
TN_API tn_program *tn_compile_module(tn_module *m, const tn_compile_options *options);

/* Writes the program of a module as a relocatable object: functions <prefix>bind, <prefix>run, and
 * <prefix>prepare_bind, <prefix>prepare_run when weights are packed (tn_bind_fn, tn_run_fn of
 * tenon_rt.h). *object is freed with tn_text_free. The object needs memcpy, memset and memmove,
 * nothing else; with `freestanding`, and for arm-none-eabi, not even these.
 *
 * For targets with pointers of 32 bits (arm-none-eabi, wasm32) the frame, its hooks and all arrays of pointers lie as on
 * one of 64 bits: a pointer is a word of 8 bytes, zeros behind it. On those, and on riscv64, the caller's buffers must be
 * aligned to their elements. */
TN_API tn_status tn_compile_object(tn_module *m, const tn_compile_options *options, const char *prefix, void **object,
                                   size_t *bytes, tn_diag *diag);

/* The text of one stage: "import", a pass by name, "loops", "plan", "llvm", "asm". Freed with
 * tn_text_free; NULL with a diagnostic on errors. Constants of over 64 elements are
 * written to `data_path` when that is given (graph stages), as tn_module_print does it. */
TN_API char *tn_compile_text(tn_module *m, const tn_compile_options *options, const char *stage, const char *data_path,
                             tn_diag *diag);

/* A size that is not fixed, and what it is to be. */
typedef struct tn_symbol_value {
    const char *symbol;
    int64_t value;
} tn_symbol_value;

/* The bytes that a run of the program of m's main function would need beside its inputs, outputs and weights: the arena
 * of its plan and its kernels' scratch, on one thread. No code is made for it. `values` has n values, one for each
 * symbol of the function. Fails as a compilation does, and with TN_ERR_CONSTRAINT where the values are not allowed. */
TN_API tn_status tn_planned_bytes(tn_module *m, const tn_compile_options *options, const tn_symbol_value *values, int n,
                                  size_t *bytes, tn_diag *diag);

/* The cache of compiled programs. */
typedef struct tn_cache_info {
    char folder[1024]; /* "": none is known */
    uint64_t entries, bytes, limit_bytes;
} tn_cache_info;

/* How much is in it: nothing where there is no folder yet. TN_ERR_IO: it cannot be used. */
TN_API tn_status tn_cache_stats(tn_cache_info *info, tn_diag *diag);

/* Removes all entries; *removed (or NULL) tells how many. Programs that run go on. */
TN_API tn_status tn_cache_clear(tn_cache_info *removed, tn_diag *diag);

/* Names of the stages in order, NULL at the end. */
TN_API const char *const *tn_stage_names(void);

/* "Tenon x.y, LLVM a.b.c, <cpu>"; written to text, cut to capacity. */
TN_API void tn_version_text(char *text, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
