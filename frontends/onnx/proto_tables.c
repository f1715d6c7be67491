/* The messages of ONNX, one table each, and the rules that a table cannot say.
 *
 * Source: onnx.proto as of IR version 12. A field without a row is skipped: documentation,
 * annotations, device placement, training.
 */
#include "frontends/onnx/proto_tables.h"

#include <inttypes.h>

/* Graphs hold nodes, nodes attributes, attributes graphs. */
static const proto_message graph_message;

#define PLACE(type, member) offsetof(type, member), NULL
#define NESTED(type, member, nested) offsetof(type, member), &(nested)
#define NOT_STORED 0, NULL
#define ROWS(table) sizeof(table) / sizeof((table)[0]), table

/* A row reads: number, name, kind, label, whether it is one of several choices, where it goes.
 * A message reads: size, rows, whether it is a graph, where the choice's number and the whole
 * message go, its rule. */

/* ---- Small messages --------------------------------------------------------------------- */

static const proto_field entry_fields[] = {
    {1, "key", FIELD_TEXT, ONCE, false, PLACE(onnx_entry, key)},
    {2, "value", FIELD_TEXT, ONCE, false, PLACE(onnx_entry, value)},
};
static const proto_message entry_message = {
    sizeof(onnx_entry), ROWS(entry_fields), false, PROTO_NOWHERE, PROTO_NOWHERE, NULL,
};

static const proto_field opset_fields[] = {
    {1, "domain", FIELD_TEXT, ONCE, false, PLACE(onnx_opset, domain)},
    {2, "version", FIELD_INT64, ONCE, false, PLACE(onnx_opset, version)},
};
static const proto_message opset_message = {
    sizeof(onnx_opset), ROWS(opset_fields), false, PROTO_NOWHERE, PROTO_NOWHERE, NULL,
};

/* ---- Types ------------------------------------------------------------------------------ */

static tn_status check_dim(proto_parser *parser, const proto_path *path, void *message) {
    (void)parser, (void)path;
    onnx_dim *dim = message;
    bool is_unknown =
        (dim->kind == ONNX_DIM_VALUE && dim->value < 0) || (dim->kind == ONNX_DIM_PARAM && dim->param[0] == '\0');
    if (is_unknown) *dim = (onnx_dim){.kind = ONNX_DIM_UNKNOWN};
    return TN_OK;
}

static const proto_field dim_fields[] = {
    {ONNX_DIM_VALUE, "dim_value", FIELD_INT64, ONCE, true, PLACE(onnx_dim, value)},
    {ONNX_DIM_PARAM, "dim_param", FIELD_TEXT, ONCE, true, PLACE(onnx_dim, param)},
};
static const proto_message dim_message = {
    sizeof(onnx_dim), ROWS(dim_fields), false, offsetof(onnx_dim, kind), PROTO_NOWHERE, check_dim,
};

static const proto_field shape_fields[] = {
    {1, "dim", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_shape, dims, dim_message)},
};
static const proto_message shape_message = {
    sizeof(onnx_shape), ROWS(shape_fields), false, PROTO_NOWHERE, PROTO_NOWHERE, NULL,
};

static const proto_field tensor_type_fields[] = {
    {1, "elem_type", FIELD_INT32, ONCE, false, PLACE(onnx_tensor_type, elem_type)},
    {2, "shape", FIELD_MESSAGE, ONCE, false, NESTED(onnx_tensor_type, shape, shape_message)},
};
static const proto_message tensor_type_message = {
    sizeof(onnx_tensor_type), ROWS(tensor_type_fields), false, PROTO_NOWHERE, PROTO_NOWHERE, NULL,
};

static const proto_field type_fields[] = {
    {ONNX_TYPE_TENSOR, "tensor_type", FIELD_MESSAGE, ONCE, true, NESTED(onnx_type, tensor, tensor_type_message)},
    {ONNX_TYPE_SEQUENCE, "sequence_type", FIELD_BYTES, UNSTORED, true, NOT_STORED},
    {ONNX_TYPE_MAP, "map_type", FIELD_BYTES, UNSTORED, true, NOT_STORED},
    {ONNX_TYPE_OPAQUE, "opaque_type", FIELD_BYTES, UNSTORED, true, NOT_STORED},
    {ONNX_TYPE_SPARSE_TENSOR, "sparse_tensor_type", FIELD_BYTES, UNSTORED, true, NOT_STORED},
    {ONNX_TYPE_OPTIONAL, "optional_type", FIELD_BYTES, UNSTORED, true, NOT_STORED},
};
static const proto_message type_message = {
    sizeof(onnx_type), ROWS(type_fields), false, offsetof(onnx_type, kind), PROTO_NOWHERE, NULL,
};

static const proto_field value_info_fields[] = {
    {1, "name", FIELD_TEXT, ONCE, false, PLACE(onnx_value_info, name)},
    {2, "type", FIELD_MESSAGE, ONCE, false, NESTED(onnx_value_info, type, type_message)},
};
static const proto_message value_info_message = {
    sizeof(onnx_value_info), ROWS(value_info_fields), false, PROTO_NOWHERE, PROTO_NOWHERE, NULL,
};

const char *onnx_type_kind_name(int32_t kind) {
    static const char *const names[] = {
        [ONNX_TYPE_NONE] = "no type",      [ONNX_TYPE_TENSOR] = "tensor", [ONNX_TYPE_SEQUENCE] = "sequence",
        [ONNX_TYPE_MAP] = "map",           [ONNX_TYPE_OPAQUE] = "opaque", [ONNX_TYPE_SPARSE_TENSOR] = "sparse tensor",
        [ONNX_TYPE_OPTIONAL] = "optional",
    };
    bool is_known = kind >= 0 && (size_t)kind < sizeof names / sizeof names[0] && names[kind];
    return is_known ? names[kind] : "unknown";
}

/* ---- Tensors ---------------------------------------------------------------------------- */

static tn_status check_tensor(proto_parser *parser, const proto_path *path, void *message) {
    const onnx_tensor *tensor = message;
    for (size_t i = 0; i < tensor->dims.count; i++)
        if (tensor->dims.items[i] < 0)
            return proto_fail(parser, path, path->bytes.data, TN_ERR_PARSE, "tensor '%.100s': dim %zu is %" PRId64,
                              tensor->name, i, tensor->dims.items[i]);
    if (tensor->data_location != 0 && tensor->data_location != 1)
        return proto_fail(parser, path, path->bytes.data, TN_ERR_PARSE,
                          "tensor '%.100s': data_location is %" PRId32 ", expected 0 or 1", tensor->name,
                          tensor->data_location);
    return TN_OK;
}

/* The elements are in one of several fields. Only raw_data is stored, the others are read out of
 * the message's body when they are wanted (tensorproto.c). */
static const proto_field tensor_fields[] = {
    {1, "dims", FIELD_INT64, REPEATED, false, PLACE(onnx_tensor, dims)},
    {2, "data_type", FIELD_INT32, ONCE, false, PLACE(onnx_tensor, data_type)},
    {3, "segment", FIELD_BYTES, REFUSED, false, NOT_STORED},
    {4, "float_data", FIELD_FLOAT, UNSTORED, true, NOT_STORED},
    {5, "int32_data", FIELD_INT64, UNSTORED, true, NOT_STORED},
    {6, "string_data", FIELD_BYTES, UNSTORED, true, NOT_STORED},
    {7, "int64_data", FIELD_INT64, UNSTORED, true, NOT_STORED},
    {8, "name", FIELD_TEXT, ONCE, false, PLACE(onnx_tensor, name)},
    {9, "raw_data", FIELD_BYTES, ONCE, true, PLACE(onnx_tensor, raw_data)},
    {10, "double_data", FIELD_DOUBLE, UNSTORED, true, NOT_STORED},
    {11, "uint64_data", FIELD_INT64, UNSTORED, true, NOT_STORED},
    {13, "external_data", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_tensor, external, entry_message)},
    {14, "data_location", FIELD_INT32, ONCE, false, PLACE(onnx_tensor, data_location)},
};
const proto_message onnx_tensor_message = {
    sizeof(onnx_tensor),         ROWS(tensor_fields), false, offsetof(onnx_tensor, data_field),
    offsetof(onnx_tensor, body), check_tensor,
};

static tn_status check_sparse_tensor(proto_parser *parser, const proto_path *path, void *message) {
    const onnx_sparse_tensor *sparse = message;
    return proto_fail(parser, path, path->bytes.data, TN_ERR_UNSUPPORTED, "sparse tensor '%.100s' is not supported",
                      sparse->values ? sparse->values->name : "");
}

static const proto_field sparse_tensor_fields[] = {
    {1, "values", FIELD_MESSAGE, ONCE, false, NESTED(onnx_sparse_tensor, values, onnx_tensor_message)},
};
static const proto_message sparse_tensor_message = {
    sizeof(onnx_sparse_tensor), ROWS(sparse_tensor_fields), false, PROTO_NOWHERE, PROTO_NOWHERE, check_sparse_tensor,
};

/* ---- Attributes ------------------------------------------------------------------------- */

/* The field that holds the value of each attribute type. */
static const struct {
    const char *name;
    int32_t field;
    bool is_needed; /* there is no value without the field */
} attribute_types[] = {
    [ONNX_ATTR_UNDEFINED] = {"UNDEFINED", 0, false},
    [ONNX_ATTR_FLOAT] = {"FLOAT", 2, false},
    [ONNX_ATTR_INT] = {"INT", 3, false},
    [ONNX_ATTR_STRING] = {"STRING", 4, false},
    [ONNX_ATTR_TENSOR] = {"TENSOR", 5, true},
    [ONNX_ATTR_GRAPH] = {"GRAPH", 6, true},
    [ONNX_ATTR_FLOATS] = {"FLOATS", 7, false},
    [ONNX_ATTR_INTS] = {"INTS", 8, false},
    [ONNX_ATTR_STRINGS] = {"STRINGS", 9, false},
    [ONNX_ATTR_TENSORS] = {"TENSORS", 10, false},
    [ONNX_ATTR_GRAPHS] = {"GRAPHS", 11, false},
    [ONNX_ATTR_SPARSE_TENSOR] = {"SPARSE_TENSOR", 22, true},
    [ONNX_ATTR_SPARSE_TENSORS] = {"SPARSE_TENSORS", 23, false},
    [ONNX_ATTR_TYPE_PROTO] = {"TYPE_PROTO", 14, true},
    [ONNX_ATTR_TYPE_PROTOS] = {"TYPE_PROTOS", 15, false},
};
enum { ATTRIBUTE_TYPE_COUNT = sizeof attribute_types / sizeof attribute_types[0] };

const char *onnx_attribute_type_name(int32_t type) {
    return type >= 0 && type < ATTRIBUTE_TYPE_COUNT ? attribute_types[type].name : "unknown";
}

static tn_status check_attribute(proto_parser *parser, const proto_path *path, void *message) {
    onnx_attribute *attribute = message;
    const uint8_t *at = path->bytes.data;
    if (attribute->name[0] == '\0') return proto_fail(parser, path, at, TN_ERR_PARSE, "the attribute has no name");
    if (attribute->type < 0 || attribute->type >= ATTRIBUTE_TYPE_COUNT)
        return proto_fail(parser, path, at, TN_ERR_UNSUPPORTED, "attribute '%.100s' has the unknown type %" PRId32,
                          attribute->name, attribute->type);
    int32_t given = attribute->value_field;
    for (int32_t type = 1; attribute->type == ONNX_ATTR_UNDEFINED && type < ATTRIBUTE_TYPE_COUNT; type++)
        if (given != 0 && attribute_types[type].field == given) attribute->type = type;
    const char *type_name = onnx_attribute_type_name(attribute->type);
    if (given != 0 && given != attribute_types[attribute->type].field)
        return proto_fail(parser, path, at, TN_ERR_PARSE,
                          "attribute '%.100s' is of type %s, but its value is in field %" PRId32 ", expected %" PRId32,
                          attribute->name, type_name, given, attribute_types[attribute->type].field);
    if (given == 0 && attribute_types[attribute->type].is_needed && attribute->ref_attr_name[0] == '\0')
        return proto_fail(parser, path, at, TN_ERR_PARSE, "attribute '%.100s' is of type %s, but has no value",
                          attribute->name, type_name);
    return TN_OK;
}

static const proto_field attribute_fields[] = {
    {1, "name", FIELD_TEXT, ONCE, false, PLACE(onnx_attribute, name)},
    {2, "f", FIELD_FLOAT, ONCE, true, PLACE(onnx_attribute, f)},
    {3, "i", FIELD_INT64, ONCE, true, PLACE(onnx_attribute, i)},
    {4, "s", FIELD_BYTES, ONCE, true, PLACE(onnx_attribute, s)},
    {5, "t", FIELD_MESSAGE, ONCE, true, NESTED(onnx_attribute, t, onnx_tensor_message)},
    {6, "g", FIELD_MESSAGE, ONCE, true, NESTED(onnx_attribute, g, graph_message)},
    {7, "floats", FIELD_FLOAT, REPEATED, true, PLACE(onnx_attribute, floats)},
    {8, "ints", FIELD_INT64, REPEATED, true, PLACE(onnx_attribute, ints)},
    {9, "strings", FIELD_BYTES, REPEATED, true, PLACE(onnx_attribute, strings)},
    {10, "tensors", FIELD_MESSAGE, REPEATED, true, NESTED(onnx_attribute, tensors, onnx_tensor_message)},
    {11, "graphs", FIELD_MESSAGE, REPEATED, true, NESTED(onnx_attribute, graphs, graph_message)},
    {14, "tp", FIELD_MESSAGE, ONCE, true, NESTED(onnx_attribute, tp, type_message)},
    {15, "type_protos", FIELD_MESSAGE, REPEATED, true, NESTED(onnx_attribute, type_protos, type_message)},
    {20, "type", FIELD_INT32, ONCE, false, PLACE(onnx_attribute, type)},
    {21, "ref_attr_name", FIELD_TEXT, ONCE, false, PLACE(onnx_attribute, ref_attr_name)},
    {22, "sparse_tensor", FIELD_MESSAGE, ONCE, true, NESTED(onnx_attribute, sparse_tensor, sparse_tensor_message)},
    {23, "sparse_tensors", FIELD_MESSAGE, REPEATED, true,
     NESTED(onnx_attribute, sparse_tensors, sparse_tensor_message)},
};
_Static_assert(sizeof attribute_fields / sizeof attribute_fields[0] <= PROTO_MAX_FIELDS, "the largest table");
static const proto_message attribute_message = {
    sizeof(onnx_attribute), ROWS(attribute_fields), false, offsetof(onnx_attribute, value_field),
    PROTO_NOWHERE,          check_attribute,
};

/* ---- Nodes and graphs ------------------------------------------------------------------- */

static tn_status check_node(proto_parser *parser, const proto_path *path, void *message) {
    const onnx_node *node = message;
    if (node->op_type[0] == '\0')
        return proto_fail(parser, path, path->bytes.data, TN_ERR_PARSE, "node '%.100s' has no op_type", node->name);
    if (++parser->node_count > parser->limits.max_nodes)
        return proto_fail(parser, path, path->bytes.data, TN_ERR_LIMIT, "the model has more than %zu nodes",
                          parser->limits.max_nodes);
    return TN_OK;
}

static const proto_field node_fields[] = {
    {1, "input", FIELD_TEXT, REPEATED, false, PLACE(onnx_node, inputs)},
    {2, "output", FIELD_TEXT, REPEATED, false, PLACE(onnx_node, outputs)},
    {3, "name", FIELD_TEXT, ONCE, false, PLACE(onnx_node, name)},
    {4, "op_type", FIELD_TEXT, ONCE, false, PLACE(onnx_node, op_type)},
    {5, "attribute", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_node, attributes, attribute_message)},
    {7, "domain", FIELD_TEXT, ONCE, false, PLACE(onnx_node, domain)},
    {8, "overload", FIELD_TEXT, ONCE, false, PLACE(onnx_node, overload)},
};
static const proto_message node_message = {
    sizeof(onnx_node), ROWS(node_fields), false, PROTO_NOWHERE, PROTO_NOWHERE, check_node,
};

static tn_status check_graph(proto_parser *parser, const proto_path *path, void *message) {
    const onnx_graph *graph = message;
    for (size_t i = 0; i < graph->initializers.count; i++)
        if (graph->initializers.items[i].name[0] == '\0')
            return proto_fail(parser, path, graph->initializers.items[i].body.data, TN_ERR_PARSE,
                              "initializer[%zu] has no name", i);
    return TN_OK;
}

static const proto_field graph_fields[] = {
    {1, "node", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_graph, nodes, node_message)},
    {2, "name", FIELD_TEXT, ONCE, false, PLACE(onnx_graph, name)},
    {5, "initializer", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_graph, initializers, onnx_tensor_message)},
    {11, "input", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_graph, inputs, value_info_message)},
    {12, "output", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_graph, outputs, value_info_message)},
    {13, "value_info", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_graph, value_infos, value_info_message)},
    {15, "sparse_initializer", FIELD_MESSAGE, REPEATED, false,
     NESTED(onnx_graph, sparse_initializers, sparse_tensor_message)},
};
static const proto_message graph_message = {
    sizeof(onnx_graph), ROWS(graph_fields), true, PROTO_NOWHERE, PROTO_NOWHERE, check_graph,
};

static const proto_field function_fields[] = {
    {1, "name", FIELD_TEXT, ONCE, false, PLACE(onnx_function, name)},
    {4, "input", FIELD_TEXT, REPEATED, false, PLACE(onnx_function, inputs)},
    {5, "output", FIELD_TEXT, REPEATED, false, PLACE(onnx_function, outputs)},
    {6, "attribute", FIELD_TEXT, REPEATED, false, PLACE(onnx_function, attributes)},
    {7, "node", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_function, nodes, node_message)},
    {9, "opset_import", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_function, opset_imports, opset_message)},
    {10, "domain", FIELD_TEXT, ONCE, false, PLACE(onnx_function, domain)},
    {11, "attribute_proto", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_function, attribute_protos, attribute_message)},
    {12, "value_info", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_function, value_infos, value_info_message)},
    {13, "overload", FIELD_TEXT, ONCE, false, PLACE(onnx_function, overload)},
};
static const proto_message function_message = {
    sizeof(onnx_function), ROWS(function_fields), true, PROTO_NOWHERE, PROTO_NOWHERE, NULL,
};

/* ---- Models ----------------------------------------------------------------------------- */

static tn_status check_model(proto_parser *parser, const proto_path *path, void *message) {
    const onnx_model *model = message;
    if (!model->graph)
        return proto_fail(parser, path, path->bytes.data, TN_ERR_PARSE, "no graph in it: is this an ONNX model?");
    return TN_OK;
}

static const proto_field model_fields[] = {
    {1, "ir_version", FIELD_INT64, ONCE, false, PLACE(onnx_model, ir_version)},
    {2, "producer_name", FIELD_TEXT, ONCE, false, PLACE(onnx_model, producer_name)},
    {3, "producer_version", FIELD_TEXT, ONCE, false, PLACE(onnx_model, producer_version)},
    {4, "domain", FIELD_TEXT, ONCE, false, PLACE(onnx_model, domain)},
    {5, "model_version", FIELD_INT64, ONCE, false, PLACE(onnx_model, model_version)},
    {7, "graph", FIELD_MESSAGE, ONCE, false, NESTED(onnx_model, graph, graph_message)},
    {8, "opset_import", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_model, opset_imports, opset_message)},
    {14, "metadata_props", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_model, metadata_props, entry_message)},
    {25, "functions", FIELD_MESSAGE, REPEATED, false, NESTED(onnx_model, functions, function_message)},
};
const proto_message onnx_model_message = {
    sizeof(onnx_model), ROWS(model_fields), false, PROTO_NOWHERE, PROTO_NOWHERE, check_model,
};
