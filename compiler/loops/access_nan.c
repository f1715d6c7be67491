/* Checks for NaN of what a kernel computes (see nan_looks.h).
 *
 * in:  a value of the fused function, an index, the element computed there
 * out: a check under the guard in force, which names the value's node; for a value that is read in a branch of a select,
 *      under the condition of that branch
 * law: sites follow the order of the nodes, so that the least of those recorded is the first node with a NaN; what a
 *      kernel computes does not change
 */
#include "compiler/loops/access.h"
#include "compiler/loops/nan_looks.h"

static void add_site(access *a, value_id v, bool is_hint, uint32_t group) {
    const node *n = graph_node_of(a->fused, v);
    lt_add_site(&a->b, (lt_site){.op = (tn_op)n->op,
                                 .locations = n->locations,
                                 .type = graph_type(a->fused, v),
                                 .kind = is_hint ? LT_SITE_HINT : LT_SITE_NAN,
                                 .group = group});
}

/* A select that lets through what was not looked at: by the side that is taken one knows where it began. */
static bool has_sides(const tn_graph *g, value_id v) {
    return graph_node_of(g, v)->op == TN_OP_select && g->nan_looks[v].use == NAN_ALWAYS;
}

/* One site for what is an error, behind it one for what is a hint, or for the other side of a select. */
bool access_open_nan_sites(access *a) {
    const tn_graph *g = a->fused;
    a->nan_sites = tn_malloc((g->n_nodes + 1) * sizeof *a->nan_sites);
    for (size_t i = 0; a->nan_sites && i < g->n_nodes; i++) {
        value_id v = g->nodes[i].first_result;
        const nan_look *look = &g->nan_looks[v];
        uint32_t before = nan_looks_lets_through(g, v) ? look->group : NAN_NO_GROUP;
        a->nan_sites[i] = LT_NONE;
        if (look->use == NAN_UNREAD || !nan_looks_wants(g, v)) continue;
        a->nan_sites[i] = a->b.kernel->n_sites;
        if (has_sides(g, v))
            for (int side = 0; side < 2; side++) add_site(a, v, false, look->sides[side]);
        else if (look->use != NAN_MAYBE)
            add_site(a, v, false, look->use == NAN_BRANCH ? before : NAN_NO_GROUP);
        if (look->use > NAN_ALWAYS) add_site(a, v, true, look->group);
    }
    return a->nan_sites != NULL && !a->b.failed;
}

/* Adds to *bad what must hold for the value to be used. False: nobody can tell. */
static bool is_used_where(access *a, nan_look look, lt_value *bad) {
    for (const access_branch *at = a->branch; look.use == NAN_BRANCH; at = at->outer) {
        if (!at || at->select != look.select || at->side != look.side) return false;
        lt_value taken = at->side == 1 ? at->condition : lt_unary(&a->b, TN_OP_not, at->condition);
        *bad = lt_binary(&a->b, TN_OP_and, *bad, taken);
        look = a->fused->nan_looks[a->fused->nodes[at->select].first_result];
    }
    return look.use == NAN_ALWAYS;
}

void access_look(access *a, value_id v, const tn_dim *index, lt_value x) {
    uint32_t site = a->nan_sites ? a->nan_sites[a->fused->values[v].node] : LT_NONE;
    if (site == LT_NONE || a->b.failed || x == LT_NONE) return;
    const tn_type *type = graph_type(a->fused, v);
    const access_memo *known = access_find_memo(a, v, type->rank, index, true);
    if (known && known->result == x) return;
    access_add_memo(a, v, type->rank, index, x, true);

    nan_look look = a->fused->nan_looks[v];
    lt_value is_nan = lt_unary(&a->b, TN_OP_is_nan, x), bad = is_nan;
    if (look.use == NAN_BRANCH && !is_used_where(a, look, &bad)) {
        bad = is_nan;
        site++;
    }
    if (a->guard != LT_NONE) bad = lt_binary(&a->b, TN_OP_and, bad, a->guard);
    tn_dim element = access_simplify(a, access_offset(a, type, index));
    if (has_sides(a->fused, v)) {
        lt_value condition = access_value(a, graph_node_of(a->fused, v)->operands[0], index);
        if (condition == LT_NONE) return;
        lt_check(&a->b, lt_binary(&a->b, TN_OP_and, bad, condition), element, site++);
        bad = lt_binary(&a->b, TN_OP_and, bad, lt_unary(&a->b, TN_OP_not, condition));
    }
    lt_check(&a->b, bad, element, site);
}
