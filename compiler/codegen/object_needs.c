/* What an object asks for from outside (see codegen.h).
 *
 * in:  an object as object_emit writes it: ELF, of which LLVM tells the symbols, or WebAssembly, of which its C interface
 *      has names without an end, so that imports are read here (WebAssembly core specification, 5.5.5 "Import Section")
 * out: names, each once
 */
#include "compiler/codegen/codegen.h"

#include "compiler/codegen/object.h"
#include "compiler/codegen/target.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <string.h>

/* ---- The list ---- */

typedef struct name_list {
    char *text;
    size_t used, capacity;
    bool failed;
} name_list;

static bool is_listed(const name_list *list, const char *name, size_t length) {
    for (const char *at = list->text; at && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && memcmp(at, name, length) == 0) return true;
    return false;
}

static void add_name(name_list *list, const char *name, size_t length) {
    if (list->failed || is_listed(list, name, length)) return;
    list->failed = !array_reserve((void **)&list->text, &list->capacity, list->used + length + 2, 1);
    if (list->failed) return;
    if (list->used) list->text[list->used++] = ' ';
    memcpy(list->text + list->used, name, length);
    list->text[list->used += length] = '\0';
}

/* ---- ELF ---- */

static bool add_undefined(void *user, const char *name, const char *section, LLVMSymbolIteratorRef symbol) {
    (void)symbol;
    if (!section && strcmp(name, OBJECT_MODULE_NAME) != 0) add_name(user, name, strlen(name));
    return true;
}

static tn_status read_elf(name_list *list, const void *object, size_t bytes, tn_diag *diag) {
    char *message = NULL;
    tn_status status = TN_OK;
    LLVMMemoryBufferRef view = LLVMCreateMemoryBufferWithMemoryRangeCopy(object, bytes, "object");
    LLVMBinaryRef binary = LLVMCreateBinary(view, NULL, &message);
    if (binary)
        object_each_symbol(binary, add_undefined, list);
    else
        status = target_fail(diag, TN_ERR_PARSE, "this is no object file: %s", message ? message : "unknown format");
    LLVMDisposeMessage(message);
    if (binary) LLVMDisposeBinary(binary);
    LLVMDisposeMemoryBuffer(view);
    return status;
}

/* ---- WebAssembly ---- */

static const unsigned char wasm_magic[] = {0, 'a', 's', 'm'};

enum { WASM_HEADER = 8, IMPORT_SECTION = 2, OF_FUNCTION = 0, OF_TABLE = 1, OF_MEMORY = 2, OF_GLOBAL = 3, OF_TAG = 4 };

typedef struct cursor {
    const unsigned char *at, *end;
    bool failed; /* the bytes ended early */
} cursor;

/* LEB128 (5.2.2). */
static uint32_t take_u32(cursor *c) {
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (c->at == c->end) break;
        unsigned char byte = *c->at++;
        if (shift < 32) value |= (uint32_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    c->failed = true;
    return 0;
}

static const unsigned char *take_bytes(cursor *c, size_t n) {
    const unsigned char *bytes = c->at;
    if ((size_t)(c->end - c->at) < n) {
        c->failed = true;
        n = (size_t)(c->end - c->at);
    }
    c->at += n;
    return bytes;
}

static void skip_limits(cursor *c) {
    uint32_t has_most = take_u32(c) & 1;
    take_u32(c);
    if (has_most) take_u32(c);
}

/* Memory, table and stack pointer are the linker's. */
static void take_import(name_list *list, cursor *c) {
    take_bytes(c, take_u32(c)); /* the module */
    uint32_t length = take_u32(c);
    const unsigned char *name = take_bytes(c, length);
    switch (take_u32(c)) {
    case OF_FUNCTION:
        take_u32(c);
        if (!c->failed) add_name(list, (const char *)name, length);
        break;
    case OF_TABLE:
        take_u32(c);
        skip_limits(c);
        break;
    case OF_MEMORY: skip_limits(c); break;
    case OF_GLOBAL:
    case OF_TAG: take_bytes(c, 2); break;
    default: c->failed = true;
    }
}

static tn_status read_wasm(name_list *list, const void *object, size_t bytes, tn_diag *diag) {
    cursor c = {(const unsigned char *)object + WASM_HEADER, (const unsigned char *)object + bytes,
                bytes < WASM_HEADER};
    while (!c.failed && c.at < c.end) {
        uint32_t id = *c.at++, size = take_u32(&c);
        cursor section = {.at = take_bytes(&c, size)};
        section.end = c.at;
        if (id != IMPORT_SECTION || c.failed) continue;
        uint32_t n = take_u32(&section);
        for (uint32_t i = 0; i < n && !section.failed; i++) take_import(list, &section);
        c.failed = section.failed;
    }
    return c.failed ? target_fail(diag, TN_ERR_PARSE, "this WebAssembly object ends early or is malformed") : TN_OK;
}

/* ---- Either ---- */

char *codegen_undefined_symbols(const void *object, size_t bytes, tn_diag *diag) {
    name_list list = {0};
    bool is_wasm = bytes >= WASM_HEADER && memcmp(object, wasm_magic, sizeof wasm_magic) == 0;
    tn_status status = (is_wasm ? read_wasm : read_elf)(&list, object, bytes, diag);
    if (status == TN_OK && !list.failed && !list.text) list.failed = !(list.text = tn_calloc(1, 1));
    if (status == TN_OK && list.failed) status = target_fail(diag, TN_ERR_MEMORY, "out of memory");
    if (status == TN_OK) return list.text;
    tn_free(list.text);
    return NULL;
}
