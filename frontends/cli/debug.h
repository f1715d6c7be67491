/* tenon debug: the interpreter step by step.
 *
 * cmd_debug.c          the command: runs the interpreter as often as asked for
 * debug_stops.c        where it stops, called before and after each node; the chain of calls with rounds of loops
 * debug_breakpoints.c  breakpoints: what they may be, which node has one
 * debug_commands.c     what people type, and the table of commands
 * debug_places.c       where the program is: list, bt, where, up, down
 * debug_values.c       what values are: print, stats, set
 */
#ifndef TN_CLI_DEBUG_H
#define TN_CLI_DEBUG_H

#include "frontends/cli/model.h"
#include "ir/names.h"

/* ---- Breakpoints (debug_breakpoints.c) -------------------------------------------------------------- */

typedef enum breakpoint_kind {
    BREAK_NODES, /* at nodes that are listed */
    BREAK_OP,
    BREAK_NAN, /* behind a node that makes a NaN */
    BREAK_INF,
} breakpoint_kind;

typedef struct breakpoint {
    int number; /* from 1 on */
    breakpoint_kind kind;
    char text[200]; /* as it was given */
    tn_op op;
    const node **nodes; /* from tn_malloc */
    size_t n_nodes;
    int64_t hits;
} breakpoint;

typedef struct breakpoint_list {
    breakpoint *items;
    size_t n, capacity;
    int last_number;
} breakpoint_list;

struct debugger;

/* The one at the node, before it is evaluated, or behind it; NULL: there is none. */
breakpoint *breakpoint_at(struct debugger *d, const eval_frame *frame, bool is_done);
void breakpoints_free(breakpoint_list *list);

/* ---- Stops (debug_stops.c) -------------------------------------------------------------------------- */

typedef enum stepping {
    RUN,    /* to a breakpoint */
    STEP,   /* to the next node, in whichever function */
    NEXT,   /* over functions that the node calls */
    FINISH, /* to the end of the function, or of a loop's round */
} stepping;

/* How often a node of a function has begun to call one of its functions: rounds of a loop. */
typedef struct rounds {
    const tn_graph *graph; /* that is called */
    size_t last;           /* its node that was evaluated last */
    int64_t n;
} rounds;

enum { DEBUG_MOST_CALLEES = 2 }; /* of one node: a loop's condition and body */

/* One function of the chain of calls; the first is main. */
typedef struct level {
    rounds callees[DEBUG_MOST_CALLEES];
    int64_t round; /* of itself, from 1 on */
} level;

typedef struct debugger {
    const arguments *a;
    const char *path;
    tn_module *module;
    run_data data;
    tn_diag diag;       /* of the run */
    bool is_error_told; /* and the user knows */
    int next_command;   /* of --execute */
    char *line, *last_line;
    size_t line_bytes;

    /* The run: NULL and 0 when there is none. */
    const eval_frame *frame; /* the innermost */
    int depth;               /* callers of it */
    bool is_done;            /* its node has been evaluated */
    level *levels;           /* from tn_malloc */
    size_t n_levels;

    /* What is looked at. */
    const eval_frame *shown; /* up and down */
    size_t list_next;        /* node that `list` goes on from; SIZE_MAX: around where the program is */
    const tn_graph *listed;

    stepping mode;
    int64_t times; /* to step yet */
    int mode_depth;
    const eval_frame *stopped_frame; /* of the last stop, whose results are shown when it is done */
    const node *stopped_node;
    const tn_graph *told_graph; /* of the last stop, and its round */
    int64_t told_round;
    breakpoint_list breakpoints;
    void **replaced; /* what `set` has put in place of constants, until the run ends */
    size_t n_replaced, replaced_capacity;
    bool quits, runs_again;
} debugger;

/* For eval_options.observe: ctx is the debugger. False: the run ends. */
bool debug_on_node(void *ctx, const eval_frame *frame, bool is_done);
/* A chain of calls that begins anew. */
void debug_begin_run(debugger *d);
/* The frame's callers are below it: 0 is main's. */
int debug_depth(const eval_frame *frame);

/* ---- Commands (debug_commands.c) ---------------------------------------------------------------------- */

/* Reads and obeys commands until the run is to go on or to end. */
void debug_converse(debugger *d);

/* A command of debug_breakpoints.c, debug_places.c or debug_values.c: `text` is what stands behind its name. */
typedef void debug_command(debugger *d, const char *text);
debug_command debug_break, debug_delete, debug_info;
debug_command debug_list, debug_up, debug_down, debug_bt, debug_where;
debug_command debug_print, debug_stats, debug_set;

/* ---- Places (debug_places.c) --------------------------------------------------------------------------- */

/* "@body, round 3 of %r" where this is another function or round than was told last, then the node. */
void debug_show_stop(debugger *d);
/* What is wrong with the run, and where that was built. */
void debug_show_error(const debugger *d);
/* A node as its line of the text, with a mark of three characters before it. */
void debug_show_node(const tn_graph *g, const node *n, const char *mark);

/* ---- Values (debug_values.c) ----------------------------------------------------------------------------- */

/* One line: "   %h: f32[4] {1, 2, 3, 4}", of larger ones least, mean and greatest. */
void debug_show_value(const tn_graph *g, const uint32_t *numbers, value_id v, const eval_tensor *t);
/* The results of the node that has been evaluated, a line each. */
void debug_show_results(const eval_frame *frame);
bool debug_has_value(const eval_tensor *t);

#endif
