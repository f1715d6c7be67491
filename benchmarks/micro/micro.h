/* What the parts of the micro-benchmarks share.
 *
 * Each measure_* runs programs (time_graph) and tells a figure for each (record). A figure's share is of one of the
 * machine's limits, which machine.c measures first.
 */
#ifndef TN_BENCHMARKS_MICRO_H
#define TN_BENCHMARKS_MICRO_H

#include <stdio.h>
#include <stdlib.h>

#include "tenon.h"

#define F32_BYTES ((double)sizeof(float))

/* What bounds a figure. */
typedef enum limit {
    LIMIT_NONE,
    LIMIT_FMA,    /* multiply-adds from registers, in GFLOP/s */
    LIMIT_READ,   /* bytes read from memory, in GB/s */
    LIMIT_WRITE,  /* bytes read and written by loops that do both, in GB/s */
    LIMIT_STREAM, /* the same where stores go past the caches; 0: not measured on this machine */
    LIMIT_COUNT
} limit;

typedef struct figure {
    const char *group;
    char name[56];
    const char *unit;
    double value, seconds; /* seconds 0: not stated */
    limit of;
    const char *peer_name; /* NULL: none */
    double peer;           /* in the same unit; 0: none */
    /* What is asked for; 0: nothing. Of the share, or of value / peer. */
    double gate_share, gate_ratio;
} figure;

typedef struct settings {
    int threads;
    double seconds; /* for each figure */
    const char *json_path;
    const char *only; /* group; NULL: all */
} settings;

typedef struct micro {
    settings options;
    tn_pool *pool;              /* NULL with one thread */
    double limits[LIMIT_COUNT]; /* of all threads together */
} micro;
extern micro bench;
bool is_wanted(const char *group);

/* ---- report.c ---- */

/* Prints the figure, and keeps it for write_json. */
void record(figure f);
void write_heading(void);
int write_json(void); /* 0: written */

/* ---- timing.c ---- */

double now(void); /* seconds */
/* Best time of a call, in seconds. */
double best_of(void (*call)(void *), void *ctx);
/* The same where nothing that the call reads is in a cache. */
double best_cold(void (*call)(void *), void *ctx);
/* n numbers in [-0.5, 0.5), to be freed with free; ends the program when there is no memory. */
float *floats(size_t n);
_Noreturn void stop(const char *message);

/* A program that runs. */
typedef struct running {
    tn_program *program;
    tn_exec *exec;
    tn_tensor inputs[4];
    int n_inputs;
} running;

/* Compiles g, whose inputs are f32, or i32 below `indices_below`, with numbers for sizes; frees g. */
typedef struct run_options {
    const char *winograd;
    int indices_below;
} run_options;
running running_open(tn_graph *g, tn_val result, run_options options);
void running_call(void *r);
void running_close(running *r);

/* Opens, times, closes. */
double time_graph(tn_graph *g, tn_val result);

/* ---- What is measured ---- */

void measure_machine(void);
void measure_tile(void);
void measure_dots(void);
void measure_convs(void);
void measure_winograd(void);
void measure_training(void);
void measure_attention(void);
void measure_memory(void);

#endif
