/* Pictures as model inputs.
 *
 * in:  a PNG, JPEG or binary PPM/PGM file, and how the model wants it
 * out: f32 values, f32[1, c, h, w] or f32[1, h, w, c]
 * law: each value is (pixel - mean[channel]) * scale[channel] with pixels from 0 to 255; nothing
 *      else is done to a picture that already has the size asked for
 *
 * Resizing is bilinear with half-pixel centres and without smoothing, as OpenCV's INTER_LINEAR
 * does it: its results differ by at most 1 of 255.
 */
#ifndef TN_DATA_PICTURE_H
#define TN_DATA_PICTURE_H

#include "tenon_rt.h"

/* Pixels row by row, channels adjacent, in the order R G B (or one of grey). */
typedef struct picture {
    int width, height;
    int channels; /* 1 or 3 */
    uint8_t *pixels;
} picture;

typedef enum picture_layout { PICTURE_NCHW, PICTURE_NHWC } picture_layout;

typedef struct picture_options {
    int width, height; /* 0: as in the file; one of them 0: by the picture's aspect ratio */
    int channels;      /* 3 or 1 (grey); 0 means 3 */
    bool is_bgr;       /* channels in the order B G R */
    picture_layout layout;
    float mean[3];  /* in the order of the output's channels */
    float scale[3]; /* 0 means 1 */
} picture_options;

/* Reads a picture file, as grey or RGB; transparency is dropped. On failure *out holds nothing. */
tn_status picture_read(const char *path, int channels, picture *out, tn_diag *diag);

/* The same from a file's content in memory; `path` is for diagnostics and may be NULL. */
tn_status picture_read_memory(const void *content, size_t size, int channels, const char *path, picture *out,
                              tn_diag *diag);

/* A resized copy. TN_ERR_ARGUMENT: a size is not in [1, PICTURE_MAX_SIDE]; or TN_ERR_MEMORY. */
tn_status picture_resize(const picture *from, int width, int height, picture *out);

/* What a model gets from a picture file: dims[4] as the layout says, *values to be freed with
 * tn_free. */
tn_status picture_load(const char *path, const picture_options *options, int64_t dims[4], float **values,
                       tn_diag *diag);

/* The values alone, without resizing: width * height * channels of them. */
void picture_values(const picture *from, const picture_options *options, float *values);

void picture_free(picture *p);

enum { PICTURE_MAX_SIDE = 32768, PICTURE_MAX_PIXELS = 1 << 26 };

#endif
