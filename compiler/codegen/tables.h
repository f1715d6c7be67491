/* What the code of a program refers to by number; the driver describes it to the runtime. */
#ifndef TN_CODEGEN_TABLES_H
#define TN_CODEGEN_TABLES_H

#include "ir/graph.h"

/* A place in the program that can end a run with an error (tn_program's site table). */
typedef struct emitted_site {
    tn_op op;
    location_id locations;
    const char *message; /* of an assert, or NULL */
    const char *kernel;  /* that looks for NaN here; NULL: none does */
    tn_type type;        /* likewise */
    bool is_hint;        /* likewise: LT_SITE_HINT */
    uint32_t group;
} emitted_site;

typedef struct emitted_tables {
    emitted_site *sites;
    size_t n_sites, sites_capacity;
    const char **customs; /* names */
    size_t n_customs, customs_capacity;
    const tensor_data **constants; /* too large for the object: frame->weights after those of the entry */
    size_t n_constants, constants_capacity;
    constraint *constraints; /* over the entry's symbols */
    size_t n_constraints, constraints_capacity;
    const tn_graph **calls; /* kernel number `i` of the hooks: a fused function */
    size_t n_calls, calls_capacity;
} emitted_tables;

void emitted_tables_free(emitted_tables *tables);

#endif
