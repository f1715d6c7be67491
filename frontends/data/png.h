/* PNG pictures in memory.
 *
 * in:  8-bit pixels, row by row, channels adjacent: grey, grey and alpha, RGB, or RGB and alpha
 * out: the content of a PNG file with exactly these pixels
 *
 * Source: W3C, "Portable Network Graphics (PNG) Specification".
 */
#ifndef TN_DATA_PNG_H
#define TN_DATA_PNG_H

#include <stddef.h>
#include <stdint.h>

/* `width` and `height` from 1 on, `channels` from 1 to 4. To be freed with tn_free. NULL: no memory. */
uint8_t *png_of(const uint8_t *pixels, uint32_t width, uint32_t height, int channels, size_t *bytes);

#endif
