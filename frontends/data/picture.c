/* Pictures as model inputs (see picture.h). Decoding is stb_image's, restricted to the formats
 * named there and to memory, with Tenon's allocator. */
#include "frontends/data/picture.h"

#include "frontends/data/read_file.h"
#include "runtime/alloc.h"
#include "runtime/diag.h"

#include <math.h>
#include <string.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC /* another stb_image may be in the same program */
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNM
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 32768
#define STBI_ASSERT(x) ((void)(x))
#define STBI_MALLOC(size) tn_malloc(size)
#define STBI_REALLOC(old, size) tn_realloc(old, size)
#define STBI_FREE(p) tn_free(p)
/* It declares, static, what these settings leave out. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>

_Static_assert(STBI_MAX_DIMENSIONS == PICTURE_MAX_SIDE, "one limit");

/* ---- Reading ---------------------------------------------------------------------------- */

/* Where the pixels of a PNM file start: behind "P6", three numbers, and one byte. Comments go from
 * '#' to the end of a line. */
static size_t pnm_pixels_at(const char *content, size_t size) {
    size_t at = 2;
    for (int numbers = 0; numbers < 3; numbers++) {
        while (at < size && (content[at] < '0' || content[at] > '9'))
            if (content[at++] == '#')
                while (at < size && content[at] != '\n') at++;
        while (at < size && content[at] >= '0' && content[at] <= '9') at++;
    }
    return at + 1;
}

/* stb_image takes a PNM file that is cut off and leaves the rest of the pixels as they were. */
static bool is_cut_off(const char *content, size_t size, int width, int height, int channels) {
    bool is_pnm = size >= 2 && content[0] == 'P' && (content[1] == '5' || content[1] == '6');
    if (!is_pnm) return false;
    size_t each = stbi_is_16_bit_from_memory((const uint8_t *)content, (int)size) ? 2 : 1;
    size_t start = pnm_pixels_at(content, size);
    return start > size || size - start < (size_t)width * (size_t)height * (size_t)channels * each;
}

static tn_status decode(const void *content, size_t size, int channels, picture *out, tn_diag *diag) {
    *out = (picture){0};
    int width, height, in_file;
    if (size > INT32_MAX || !stbi_info_from_memory(content, (int)size, &width, &height, &in_file))
        return diag_fail(diag, TN_ERR_PARSE, "not a picture: expected PNG, JPEG, PPM or PGM");
    if ((int64_t)width * height > PICTURE_MAX_PIXELS)
        return diag_fail(diag, TN_ERR_LIMIT, "the picture has more than 64 million pixels");
    if (is_cut_off(content, size, width, height, in_file))
        return diag_fail(diag, TN_ERR_PARSE, "the picture is cut off");
    int wanted = channels == 1 ? 1 : 3;
    uint8_t *pixels = stbi_load_from_memory(content, (int)size, &width, &height, &in_file, wanted);
    if (!pixels && strcmp(stbi_failure_reason(), "outofmem") == 0)
        return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    if (!pixels) return diag_fail(diag, TN_ERR_PARSE, "the picture is damaged or of a kind that is not supported");
    *out = (picture){width, height, wanted, pixels};
    return TN_OK;
}

tn_status picture_read_memory(const void *content, size_t size, int channels, const char *path, picture *out,
                              tn_diag *diag) {
    return diag_in_file(diag, decode(content, size, channels, out, diag), path);
}

tn_status picture_read(const char *path, int channels, picture *out, tn_diag *diag) {
    *out = (picture){0};
    void *content;
    size_t size;
    tn_status status = read_file(path, &content, &size, diag);
    if (status != TN_OK) return status;
    status = picture_read_memory(content, size, channels, path, out, diag);
    tn_free(content);
    return status;
}

void picture_free(picture *p) {
    tn_free(p->pixels);
    p->pixels = NULL;
}

/* ---- Resizing --------------------------------------------------------------------------- */

/* The two source positions that a target position lies between, and the second one's weight. */
typedef struct tap {
    int first, second;
    float weight;
} tap;

static tap tap_at(int target, int target_size, int source_size) {
    double centre = ((double)target + 0.5) * source_size / target_size - 0.5;
    double below = floor(centre);
    tap t = {(int)below, (int)below + 1, (float)(centre - below)};
    if (t.first < 0) t = (tap){0, 0, 0};
    if (t.second >= source_size) t = (tap){source_size - 1, source_size - 1, 0};
    return t;
}

static void resize_row(const picture *from, tap y, const tap *columns, int width, uint8_t *out) {
    size_t stride = (size_t)from->width * (size_t)from->channels;
    const uint8_t *upper = from->pixels + (size_t)y.first * stride;
    const uint8_t *lower = from->pixels + (size_t)y.second * stride;
    for (int x = 0; x < width; x++)
        for (int c = 0; c < from->channels; c++) {
            int left = columns[x].first * from->channels + c, right = columns[x].second * from->channels + c;
            float w = columns[x].weight;
            float top = (float)upper[left] + ((float)upper[right] - (float)upper[left]) * w;
            float bottom = (float)lower[left] + ((float)lower[right] - (float)lower[left]) * w;
            *out++ = (uint8_t)(top + (bottom - top) * y.weight + 0.5f);
        }
}

tn_status picture_resize(const picture *from, int width, int height, picture *out) {
    *out = (picture){0};
    if (width < 1 || height < 1 || width > PICTURE_MAX_SIDE || height > PICTURE_MAX_SIDE ||
        (int64_t)width * height > PICTURE_MAX_PIXELS)
        return TN_ERR_ARGUMENT;
    size_t stride = (size_t)width * (size_t)from->channels;
    uint8_t *pixels = tn_malloc(stride * (size_t)height);
    tap *columns = tn_malloc((size_t)width * sizeof *columns);
    if (!pixels || !columns) {
        tn_free(pixels);
        tn_free(columns);
        return TN_ERR_MEMORY;
    }
    for (int x = 0; x < width; x++) columns[x] = tap_at(x, width, from->width);
    for (int y = 0; y < height; y++)
        resize_row(from, tap_at(y, height, from->height), columns, width, pixels + (size_t)y * stride);
    tn_free(columns);
    *out = (picture){width, height, from->channels, pixels};
    return TN_OK;
}

/* ---- Values ----------------------------------------------------------------------------- */

void picture_values(const picture *from, const picture_options *options, float *values) {
    size_t pixels = (size_t)from->width * (size_t)from->height, channels = (size_t)from->channels;
    bool is_planar = options->layout == PICTURE_NCHW;
    for (size_t c = 0; c < channels; c++) {
        size_t source = options->is_bgr ? channels - 1 - c : c;
        float scale = options->scale[c] != 0 ? options->scale[c] : 1;
        for (size_t i = 0; i < pixels; i++) {
            float pixel = from->pixels[i * channels + source];
            values[is_planar ? c * pixels + i : i * channels + c] = (pixel - options->mean[c]) * scale;
        }
    }
}

/* A size that the options leave open follows from the other one. */
static int side(int wanted, int other_wanted, int own, int other) {
    if (wanted > 0 || other_wanted <= 0) return wanted > 0 ? wanted : own;
    double scaled = floor((double)own * other_wanted / other + 0.5);
    return scaled < 1 ? 1 : scaled > PICTURE_MAX_SIDE ? PICTURE_MAX_SIDE + 1 : (int)scaled;
}

static tn_status fit(picture *p, const picture_options *options, tn_diag *diag) {
    int width = side(options->width, options->height, p->width, p->height);
    int height = side(options->height, options->width, p->height, p->width);
    if (width == p->width && height == p->height) return TN_OK;
    picture resized;
    tn_status status = picture_resize(p, width, height, &resized);
    if (status == TN_ERR_MEMORY) return diag_fail(diag, status, "out of memory");
    if (status != TN_OK)
        return diag_fail(diag, status, "the size asked for is not between 1 and 32768 a side and 64 million pixels");
    picture_free(p);
    *p = resized;
    return TN_OK;
}

tn_status picture_load(const char *path, const picture_options *options, int64_t dims[4], float **values,
                       tn_diag *diag) {
    *values = NULL;
    picture p;
    tn_status status = picture_read(path, options->channels, &p, diag);
    if (status == TN_OK) status = fit(&p, options, diag);
    if (status == TN_OK) {
        *values = tn_malloc((size_t)p.width * (size_t)p.height * (size_t)p.channels * sizeof **values);
        status = *values ? TN_OK : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    }
    if (status == TN_OK) {
        bool is_planar = options->layout == PICTURE_NCHW;
        int64_t shape[4] = {1, p.height, p.width, p.channels};
        int64_t planar[4] = {1, p.channels, p.height, p.width};
        memcpy(dims, is_planar ? planar : shape, sizeof shape);
        picture_values(&p, options, *values);
    }
    picture_free(&p);
    return diag_in_file(diag, status, path);
}
