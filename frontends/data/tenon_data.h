/* What training reads and writes: files of tensors, datasets, batches, and records for TensorBoard.
 *
 * No graph is needed for any of it. Calls that can fail return a tn_status and fill *diag (which may be NULL): its
 * `file` is then the path that was given (so it lives as long as that), its message says which record and where.
 * What a call makes is NULL after it failed. All `..._free` accept NULL.
 */
#ifndef TENON_DATA_H
#define TENON_DATA_H

#include "tenon_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Files of named tensors ------------------------------------------------------------- */

/* A tensor and what it is called. */
typedef struct tn_named_tensor {
    const char *name;
    tn_tensor tensor;
} tn_named_tensor;

/* A note in a file: UTF-8 text. */
typedef struct tn_metadata {
    const char *key, *value;
} tn_metadata;

/* What was read from a file: tensors with their names, and notes. Immutable; any thread may look at it. */
typedef struct tn_archive tn_archive;

/* Opens a safetensors file. Its tensors are views of the mapped file, which must not be changed in place while the
 * archive lives (replacing it, as tn_safetensors_write does, is fine); their memory may be unaligned. Everything is
 * checked before anything is given: header, dtypes, shapes, that the tensors lie one behind the other and fill the
 * file, names that come twice. TN_ERR_IO, TN_ERR_PARSE, TN_ERR_UNSUPPORTED
 * (dtypes, more than 8 axes), TN_ERR_MEMORY. */
TN_API tn_status tn_safetensors_open(const char *path, tn_archive **archive, tn_diag *diag);

/* The same from memory, which must outlive the archive; `name` is for messages and may be NULL. */
TN_API tn_status tn_safetensors_parse(const void *data, size_t bytes, const char *name, tn_archive **archive,
                                      tn_diag *diag);

/* Writes a safetensors file in place of `path`: whatever ends the process or the machine, and whenever, the file is
 * whole, either the old or the new one (a temporary PATH.tmp in the same folder is synced, then renamed). Tensors may
 * be strided; they are laid out by decreasing size of element, then by name, which keeps each aligned. Names and keys
 * must differ and be UTF-8. */
TN_API tn_status tn_safetensors_write(const char *path, const tn_named_tensor *tensors, int64_t n_tensors,
                                      const tn_metadata *metadata, int64_t n_metadata, tn_diag *diag);

/* Opens a .npy file: one tensor, called "data". Its elements are copied. */
TN_API tn_status tn_npy_open(const char *path, tn_archive **archive, tn_diag *diag);

/* Opens a .npz file: a tensor for each entry, called as the entry is without ".npy"; stored or deflated. All are read
 * at once. An entry that is no array, or damaged, is an error that names it. */
TN_API tn_status tn_npz_open(const char *path, tn_archive **archive, tn_diag *diag);

/* Opens an IDX file (the format of MNIST), plain or gzip: one tensor, called "data". */
TN_API tn_status tn_idx_open(const char *path, tn_archive **archive, tn_diag *diag);

/* The same from memory, which is not needed after the call; `name` is for messages and may be NULL. */
TN_API tn_status tn_npz_parse(const void *data, size_t bytes, const char *name, tn_archive **archive, tn_diag *diag);
TN_API tn_status tn_idx_parse(const void *data, size_t bytes, const char *name, tn_archive **archive, tn_diag *diag);

/* Write NumPy files, whole or not at all as tn_safetensors_write does. bfloat16 is written as two bytes of anything
 * ("V2"), as ml_dtypes does. `deflates`: compressed, as numpy.savez_compressed does. */
TN_API tn_status tn_npy_write(const char *path, const tn_tensor *tensor, tn_diag *diag);
TN_API tn_status tn_npz_write(const char *path, const tn_named_tensor *tensors, int64_t n_tensors, bool deflates,
                              tn_diag *diag);

/* Number of tensors, in the order of the file; -1: no archive. */
TN_API int64_t tn_archive_count(const tn_archive *archive);

/* Tensor number i, or NULL when there is none. Lives, like all that it points to, as long as the archive. */
TN_API const tn_named_tensor *tn_archive_at(const tn_archive *archive, int64_t i);

/* The tensor of that name, or NULL. */
TN_API const tn_tensor *tn_archive_find(const tn_archive *archive, const char *name);

/* The note of that key, or NULL; and note number i. */
TN_API const char *tn_archive_metadata(const tn_archive *archive, const char *key);
TN_API const tn_metadata *tn_archive_metadata_at(const tn_archive *archive, int64_t i);

TN_API void tn_archive_free(tn_archive *archive);

/* ---- Datasets ----------------------------------------------------------------------------- */

/* Examples that are read one by one, by number. Each has the same fields: "x", f32[1, 8, 8], and "y", i64[], say.
 * Counted references: loaders and splits keep what they read from alive. Reading changes nothing, so any number of
 * threads may do it at once (for a callback: when it allows that). */
typedef struct tn_dataset tn_dataset;

/* What one example has under a name. */
typedef struct tn_field {
    const char *name;
    tn_dtype dtype;
    int rank; /* of one example, at most TN_MAX_RANK - 1 */
    int64_t shape[TN_MAX_RANK];
} tn_field;

TN_API tn_dataset *tn_dataset_retain(tn_dataset *dataset); /* one more reference; returns dataset */
TN_API void tn_dataset_free(tn_dataset *dataset);          /* one reference less */

TN_API int64_t tn_dataset_count(const tn_dataset *dataset); /* examples; -1: no dataset */
TN_API int tn_dataset_n_fields(const tn_dataset *dataset);

/* Field number i, or NULL when there is none. Lives as long as the dataset. */
TN_API const tn_field *tn_dataset_field(const tn_dataset *dataset, int i);
TN_API int tn_dataset_find_field(const tn_dataset *dataset, const char *name); /* its number, or -1 */

/* Name of class number i ("y" of an image folder counts them), or NULL when there is none. */
TN_API const char *tn_dataset_class(const tn_dataset *dataset, int64_t i);

/* Copies one field of example `index` to `out`, which has room for the field's elements, row-major. What cannot be read
 * is an error that names file and record: nothing is left out. */
TN_API tn_status tn_dataset_read(const tn_dataset *dataset, int field, int64_t index, void *out, tn_diag *diag);

/* From now on the field reads as (value - mean) * scale in `dtype`, computed in double: `mean` 0 and `scale` 1.0 / 255
 * turn the bytes of pictures into floats from 0 to 1; i64 with mean 0 and scale 1 is what labels want. Numbers that an
 * integer dtype doesn't have are an error of the read. A second call replaces the first. Only while nobody else holds a
 * reference (no loader, no split): else TN_ERR_ARGUMENT. */
TN_API tn_status tn_dataset_convert(tn_dataset *dataset, const char *field, tn_dtype dtype, double mean, double scale,
                                    tn_diag *diag);

/* From now on the field has that shape, with as many elements as before. The same condition. */
TN_API tn_status tn_dataset_reshape(tn_dataset *dataset, const char *field, int rank, const int64_t *shape,
                                    tn_diag *diag);

/* Arrays in memory: the first axis of each counts the examples. The names are copied, the elements are read in place
 * (they may be strided) and must not change; release(ctx), which may be NULL, is called when the dataset ends, or not
 * at all when the call fails. */
TN_API tn_status tn_dataset_arrays(const tn_named_tensor *arrays, int n, void (*release)(void *ctx), void *ctx,
                                   tn_dataset **dataset, tn_diag *diag);

/* All tensors of an archive as arrays. The dataset takes the archive over, also when the call fails. */
TN_API tn_status tn_dataset_archive(tn_archive *archive, tn_dataset **dataset, tn_diag *diag);

/* Reads one field of example `index` to `out`, for tn_dataset_callback. On failure fills *diag (never NULL) and returns
 * its status. */
typedef tn_status (*tn_read_fn)(void *ctx, int field, int64_t index, void *out, tn_diag *diag);

/* A function that reads. The fields are copied. release as for tn_dataset_arrays. */
TN_API tn_status tn_dataset_callback(int64_t count, const tn_field *fields, int n_fields, tn_read_fn read,
                                     void (*release)(void *ctx), void *ctx, tn_dataset **dataset, tn_diag *diag);

/* `count` examples from number `first` on. */
TN_API tn_status tn_dataset_slice(tn_dataset *dataset, int64_t first, int64_t count, tn_dataset **slice, tn_diag *diag);

/* All zero but one of the first two. */
typedef struct tn_split_options {
    double fraction; /* of the examples that are for validation, rounded to a whole number */
    int64_t count;   /* or how many they are; when 0, fraction counts */
    uint64_t seed;   /* which they are: the same ones for the same seed and number of examples */
    bool in_order;   /* the last ones, nothing is drawn */
} tn_split_options;

/* Cuts a dataset in two that have no example in common and leave none out. */
TN_API tn_status tn_dataset_split(tn_dataset *dataset, const tn_split_options *options, tn_dataset **training,
                                  tn_dataset **validation, tn_diag *diag);

/* ---- Datasets from files ------------------------------------------------------------------- */

typedef enum tn_csv_header {
    TN_CSV_GUESS,    /* the first line holds names when none of its cells is a number; when only some are: an error */
    TN_CSV_NAMES,    /* the first line holds names */
    TN_CSV_NO_NAMES, /* the first line is the first example */
} tn_csv_header;

/* All zero: the defaults. */
typedef struct tn_csv_options {
    tn_csv_header header;
    char separator;         /* 0: ',' */
    int label;              /* number of the label's column: 1 is the first, -1 the last; 0: none */
    const char *label_name; /* or its name */
    tn_dtype dtype;         /* of "x": TN_F32 (also when 0) or TN_F64 */
    tn_dtype label_dtype;   /* of "y": 0 is TN_I64, for classes: then labels must be whole numbers */
} tn_csv_options;

/* A table of numbers, a line an example; plain or gzip. Field "x" has all columns but the label's, "y" is the label.
 * Each line has as many cells as the first; each cell is a finite number, in quotes or not. Errors give line
 * and column in *diag. Everything is read at once. Options NULL: defaults. */
TN_API tn_status tn_dataset_csv(const char *path, const tn_csv_options *options, tn_dataset **dataset, tn_diag *diag);

/* The arrays of a .npz file, each a field; the first axis of each counts the examples. */
TN_API tn_status tn_dataset_npz(const char *path, tn_dataset **dataset, tn_diag *diag);

/* Two IDX files, plain or gzip: field "x" has what is in `examples`, "y" what is in `labels` (NULL: no such field), as
 * they are in the files: see tn_dataset_convert. */
TN_API tn_status tn_dataset_idx(const char *examples, const char *labels, tn_dataset **dataset, tn_diag *diag);

/* All zero: the defaults. */
typedef struct tn_image_options {
    int height,
        width;    /* pictures of another size are resized (bilinear); both 0: all must be of the first one's size */
    int channels; /* 3 or 1 (grey); 0: 3. Transparency is dropped */
    bool channels_last; /* "x" is [height, width, channels]; else [channels, height, width] */
    float mean[3];      /* values are (pixel - mean) * scale for each channel, of pixels from 0 to 255 */
    float scale[3];     /* 0: 1 / 255 */
} tn_image_options;

/* A folder with a folder for each class, which hold PNG, JPEG, PPM or PGM files. Field "x" is the f32 picture, decoded
 * at each read; "y" is the number of its class, i64, in the order of the folders' names (tn_dataset_class tells them).
 * Names that begin with a dot are passed over; anything else that is no picture is an error. */
TN_API tn_status tn_dataset_images(const char *path, const tn_image_options *options, tn_dataset **dataset,
                                   tn_diag *diag);

/* All zero: the defaults. */
typedef struct tn_text_options {
    int64_t context; /* characters that an example has; 0: 64 */
    int64_t stride;  /* from one example to the next; 0: 1, so that there is one for each place */
} tn_text_options;

/* A text file (UTF-8; plain or gzip) for models of its characters. Its vocabulary is the characters that it has, in the
 * order of their code points: tn_dataset_class tells them. Field "x", i64[context], is a stretch of the text as numbers
 * of characters; "y", i64[context], the same one further on. To cut it in two take in_order: examples overlap. */
TN_API tn_status tn_dataset_text(const char *path, const tn_text_options *options, tn_dataset **dataset, tn_diag *diag);

/* A text as numbers of the dataset's characters: at most `capacity` to `numbers`, how many there are to *n.
 * TN_ERR_ARGUMENT: a character that the vocabulary doesn't have. */
TN_API tn_status tn_text_encode(const tn_dataset *dataset, const char *text, int64_t *numbers, int64_t capacity,
                                int64_t *n, tn_diag *diag);

/* ---- Batches ------------------------------------------------------------------------------- */

/* All zero: the defaults. */
typedef struct tn_loader_options {
    int64_t batch_size; /* 0: 32 */
    bool shuffle;     /* each epoch in an order of its own, which follows from seed and epoch alone; else as they are */
    bool drop_last;   /* leaves out the last batch of an epoch when it has fewer examples; else it is given */
    bool no_prefetch; /* reads in tn_loader_next, without a thread */
    uint64_t seed;
    int64_t epoch, position; /* where to start: see tn_loader_seek */
} tn_loader_options;

/* One batch. Valid until the next call on its loader. */
typedef struct tn_batch {
    const tn_tensor
        *fields; /* one for each field of the dataset, in its order: [size, ...], contiguous, aligned to 64 */
    int n_fields;
    int64_t size;     /* examples */
    int64_t epoch;    /* from 0 on */
    int64_t position; /* of its first example in the epoch's order */
    bool is_last;     /* the epoch ends with it */
} tn_batch;

/* Batches from a dataset, epoch after epoch without end. A thread of its own reads the next batch while the caller
 * works on this one; without one (none to be had, or no_prefetch) the batches are the same.
 * One caller at a time; doesn't survive a fork. */
typedef struct tn_loader tn_loader;

/* TN_ERR_ARGUMENT also when an epoch would have no batch. Options NULL: defaults. */
TN_API tn_status tn_loader_new(tn_dataset *dataset, const tn_loader_options *options, tn_loader **loader,
                               tn_diag *diag);

/* The next batch. What the dataset could not read is reported here when its batch's turn comes, and again by each
 * call until a seek. */
TN_API tn_status tn_loader_next(tn_loader *loader, tn_batch *batch, tn_diag *diag);

/* Batches of an epoch that begins at position 0; -1: no loader. */
TN_API int64_t tn_loader_batches(const tn_loader *loader);

/* Where the next batch begins: what a checkpoint keeps. With the same seed a loader that starts or is set there goes on
 * with the same batches. */
TN_API void tn_loader_tell(const tn_loader *loader, int64_t *epoch, int64_t *position);

/* Goes on at `position` (0 to the number of examples) of `epoch`. TN_ERR_ARGUMENT: out of range. */
TN_API tn_status tn_loader_seek(tn_loader *loader, int64_t epoch, int64_t position);

/* Ends the thread at once, at most one example later. */
TN_API void tn_loader_free(tn_loader *loader);

/* ---- Records for TensorBoard --------------------------------------------------------------- */

/* Writes an event file, which TensorBoard shows when it is told the folder. Each call puts one whole record at the end
 * of the file, so that it can be watched while it grows. Tags ("loss", "train/accuracy") and texts are UTF-8; `step` is
 * what is on the horizontal axis. One caller at a time. */
typedef struct tn_event_writer tn_event_writer;

/* A new file of a name of its own in `folder`, which is made when it is missing. A run that goes on after a checkpoint
 * opens another writer on the same folder. */
TN_API tn_status tn_event_writer_new(const char *folder, tn_event_writer **writer, tn_diag *diag);

/* The file's path. Lives as long as the writer. */
TN_API const char *tn_event_writer_path(const tn_event_writer *writer);

TN_API tn_status tn_event_scalar(tn_event_writer *writer, const char *tag, int64_t step, double value, tn_diag *diag);

/* How the elements of a tensor are distributed: 64 buckets of equal width from the least to the greatest. There must be
 * at least one, all finite: else TN_ERR_ARGUMENT, which says how many are not. */
TN_API tn_status tn_event_histogram(tn_event_writer *writer, const char *tag, int64_t step, const tn_tensor *values,
                                    tn_diag *diag);

/* A picture, [height, width] or [height, width, channels] with 1 to 4 channels: grey, grey and alpha, RGB, RGB and
 * alpha. u8 as it is; floats from 0 to 1, cut off beyond (NaN is 0). */
TN_API tn_status tn_event_image(tn_event_writer *writer, const char *tag, int64_t step, const tn_tensor *pixels,
                                tn_diag *diag);

/* A text, which TensorBoard shows as Markdown. */
TN_API tn_status tn_event_text(tn_event_writer *writer, const char *tag, int64_t step, const char *text, tn_diag *diag);

/* A node of a graph to be shown. Parts of a name between '/' are groups that fold. */
typedef struct tn_event_node {
    const char *name, *op;
    const char *const *inputs; /* names of nodes, in order */
    int n_inputs;
    const char *type; /* what its details show: "f32[n, 10]"; or NULL */
} tn_event_node;

/* The graph; one for each file. TN_ERR_ARGUMENT: a name comes twice, or an input is none. */
TN_API tn_status tn_event_graph(tn_event_writer *writer, const tn_event_node *nodes, int64_t n_nodes, tn_diag *diag);

/* Closes the file; everything is on the disk then. */
TN_API tn_status tn_event_writer_close(tn_event_writer *writer, tn_diag *diag);

#ifdef __cplusplus
}
#endif

#endif
