/* Text lines of the demo's page, prepared by the demo's own code (see cases.h). */
#define main ocr_main
#include "docs/examples/ocr.c" /* NOLINT(bugprone-suspicious-include): what is tested is the demo itself */
#undef main

#include "tests/lib/cases.h"

float *page_line(int k, int *width) {
    page p = {0};
    p.gray = stbi_load("docs/examples/page.png", &p.width, &p.height, NULL, 1);
    float *pixels = NULL;
    int y = 0, i = 0;
    for (box line; p.gray && next_line(&p, &y, &line); i++)
        if (i == k) {
            *width = line_width(&line);
            pixels = line_pixels(&p, &line, *width);
            break;
        }
    stbi_image_free(p.gray);
    return pixels;
}
