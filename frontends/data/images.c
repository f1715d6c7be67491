/* Folders of pictures as datasets.
 *
 * in:  a folder with one folder for each class, which hold PNG, JPEG, PPM or PGM files
 * out: a dataset with "x", the picture, decoded when it is read, and "y", the number of its class
 * law: classes and, within each, files are in the order of their names' bytes, whatever the file system's; each file is
 *      an example or an error. Names that begin with a dot are passed over
 */
#include "frontends/data/dataset.h"
#include "frontends/data/picture.h"
#include "runtime/diag.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- Names in folders ---------------------------------------------------------------------- */

typedef struct names {
    const char **items;
    size_t n, capacity;
} names;

static bool add_name(names *list, const char *name) {
    void *items = list->items;
    bool has_room = name && array_reserve(&items, &list->capacity, list->n + 1, sizeof *list->items);
    list->items = items;
    if (has_room) list->items[list->n++] = name;
    return has_room;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds the paths of what is in a folder, sorted. */
static tn_status list_folder(const char *path, names *list, arena *memory, tn_diag *diag) {
    size_t first = list->n;
    DIR *folder = opendir(path);
    if (!folder) return diag_fail(diag, TN_ERR_IO, "folder '%.300s': %s", path, strerror(errno));
    tn_status status = TN_OK;
    errno = 0;
    for (const struct dirent *e; status == TN_OK && (e = readdir(folder));) {
        if (e->d_name[0] != '.' && !add_name(list, arena_printf(memory, "%s/%s", path, e->d_name)))
            status = diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        errno = 0;
    }
    if (status == TN_OK && errno) status = diag_fail(diag, TN_ERR_IO, "folder '%.300s': %s", path, strerror(errno));
    closedir(folder);
    if (status == TN_OK && list->n - first > 1)
        qsort(list->items + first, list->n - first, sizeof *list->items, compare_names);
    return status;
}

static const char *last_part(const char *path) { return strrchr(path, '/') + 1; }

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool has_picture_name(const char *path) {
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".ppm", ".pgm"};
    const char *dot = strrchr(last_part(path), '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

/* ---- The source ---------------------------------------------------------------------------- */

typedef struct images {
    names classes, files;
    int64_t *labels; /* one for each file */
    size_t labels_capacity;
    picture_options options;
    bool resizes;
    arena memory;
} images;

static void end_images(void *state) {
    images *s = state;
    tn_free(s->classes.items);
    tn_free(s->files.items);
    tn_free(s->labels);
    arena_free(&s->memory);
    tn_free(s);
}

enum { FIELD_PICTURE, FIELD_LABEL, N_FIELDS };

/* Decodes, resizes or checks the size, and turns into values. */
static tn_status read_picture(const images *s, const char *path, float *out, tn_diag *diag) {
    picture p, resized;
    const picture_options *o = &s->options;
    tn_status status = picture_read(path, o->channels, &p, diag);
    bool fits = status == TN_OK && p.width == o->width && p.height == o->height;
    if (status == TN_OK && !fits && !s->resizes)
        status =
            diag_fail(diag, TN_ERR_SHAPE,
                      "the picture is %d x %d, the first one %d x %d: say which size all are to have (width, height)",
                      p.width, p.height, o->width, o->height);
    if (status == TN_OK && !fits) {
        status = picture_resize(&p, o->width, o->height, &resized);
        if (status != TN_OK) diag_fail(diag, status, "out of memory");
        picture_free(&p);
        p = status == TN_OK ? resized : (picture){0};
    }
    if (status == TN_OK) picture_values(&p, o, out);
    picture_free(&p);
    return diag_in_file(diag, status, path);
}

static tn_status read_image(const tn_dataset *d, int field, int64_t index, void *out, tn_diag *diag) {
    const images *s = d->state;
    if (field == FIELD_LABEL) {
        memcpy(out, &s->labels[index], sizeof *s->labels);
        return TN_OK;
    }
    if (read_picture(s, s->files.items[index], out, diag) == TN_OK) return TN_OK;
    const char *file = diag->file;
    tn_status status = dataset_record_failed(d, field, index, diag);
    return diag_in_file(diag, status, file);
}

static const dataset_kind image_kind = {read_image, end_images};

/* ---- Opening ------------------------------------------------------------------------------- */

static tn_status take_class(images *s, size_t class_number, tn_diag *diag) {
    const char *folder = s->classes.items[class_number];
    if (!is_folder(folder))
        return diag_fail(diag, TN_ERR_PARSE, "'%.300s' is no folder, expected one for each class", folder);
    size_t first = s->files.n;
    tn_status status = list_folder(folder, &s->files, &s->memory, diag);
    if (status != TN_OK) return status;
    void *labels = s->labels;
    bool has_room = array_reserve(&labels, &s->labels_capacity, s->files.n, sizeof *s->labels);
    s->labels = labels;
    if (!has_room) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    for (size_t i = first; i < s->files.n; i++) {
        s->labels[i] = (int64_t)class_number;
        if (!has_picture_name(s->files.items[i]) || is_folder(s->files.items[i]))
            return diag_fail(diag, TN_ERR_PARSE, "'%.300s' is no picture, expected .png, .jpg, .jpeg, .ppm or .pgm",
                             s->files.items[i]);
    }
    if (s->files.n > first) return TN_OK;
    return diag_fail(diag, TN_ERR_PARSE, "class folder '%.300s' has no pictures", folder);
}

/* The size of all pictures is that of the first one, unless told. */
static tn_status find_size(images *s, tn_diag *diag) {
    picture_options *o = &s->options;
    picture p;
    tn_diag inner;
    if (s->resizes) return TN_OK;
    tn_status status = picture_read(s->files.items[0], o->channels, &p, &inner);
    if (status != TN_OK) return diag_fail(diag, status, "'%.300s': %s", s->files.items[0], inner.message);
    o->width = p.width;
    o->height = p.height;
    picture_free(&p);
    return TN_OK;
}

static tn_status scan(const char *path, images *s, tn_diag *diag) {
    tn_status status = list_folder(path, &s->classes, &s->memory, diag);
    if (status == TN_OK && s->classes.n == 0)
        status = diag_fail(diag, TN_ERR_PARSE, "the folder is empty, expected one folder for each class");
    for (size_t i = 0; status == TN_OK && i < s->classes.n; i++) status = take_class(s, i, diag);
    return status == TN_OK ? find_size(s, diag) : status;
}

static tn_status take_options(images *s, const tn_image_options *o, tn_diag *diag) {
    bool has_size = o->width > 0 && o->height > 0 && o->width <= PICTURE_MAX_SIDE && o->height <= PICTURE_MAX_SIDE &&
                    (int64_t)o->width * o->height <= PICTURE_MAX_PIXELS;
    s->resizes = o->width != 0 || o->height != 0;
    if (s->resizes && !has_size)
        return diag_fail(diag, TN_ERR_ARGUMENT,
                         "pictures of %d x %d: expected both from 1 to %d, and at most 64 million pixels", o->width,
                         o->height, PICTURE_MAX_SIDE);
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return diag_fail(diag, TN_ERR_ARGUMENT, "pictures of %d channels, expected 1 or 3", o->channels);
    s->options = (picture_options){.width = o->width,
                                   .height = o->height,
                                   .channels = o->channels ? o->channels : 3,
                                   .layout = o->channels_last ? PICTURE_NHWC : PICTURE_NCHW};
    for (int i = 0; i < 3; i++) {
        s->options.mean[i] = o->mean[i];
        s->options.scale[i] = o->scale[i] != 0 ? o->scale[i] : 1.0f / 255;
    }
    return TN_OK;
}

static tn_status make_dataset(images *s, tn_dataset **dataset, tn_diag *diag) {
    const picture_options *o = &s->options;
    tn_field fields[N_FIELDS] = {{.name = "x", .dtype = TN_F32, .rank = 3, .shape = {o->channels, o->height, o->width}},
                                 {.name = "y", .dtype = TN_I64}};
    if (o->layout == PICTURE_NHWC)
        for (int i = 0; i < 3; i++) fields[0].shape[i] = (int64_t[]){o->height, o->width, o->channels}[i];
    tn_status status = dataset_new(&image_kind, s, (int64_t)s->files.n, fields, N_FIELDS, dataset, diag);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < s->classes.n; i++) s->classes.items[i] = last_part(s->classes.items[i]);
    (*dataset)->classes = s->classes.items;
    (*dataset)->n_classes = (int64_t)s->classes.n;
    return TN_OK;
}

tn_status tn_dataset_images(const char *path, const tn_image_options *options, tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    images *s = tn_calloc(1, sizeof *s);
    if (!s) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_status status = take_options(s, options ? options : &(tn_image_options){0}, diag);
    if (status == TN_OK) status = scan(path, s, diag);
    if (status == TN_OK) status = make_dataset(s, dataset, diag);
    if (status != TN_OK) end_images(s);
    return diag_in_file(diag, status, path);
}
