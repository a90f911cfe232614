/*
 * surface.c - pictures of explain on a canvas of the page. The functions of surface.h themselves
 * are the page's (site/picture.js), so only the frame of a picture is here.
 */
#include "tools/run/pictures/surface.h"

#include <math.h>
#include <stdlib.h>

#include "tools/web/page.h"

int canvas_write(const char *path, const char *title, double width, CanvasDraw draw,
                 const void *context, MegaError *err)
{
    Canvas canvas = {.detail = 2};
    char *clean = canvas_printable(&canvas, title);
    (void)path;
    page_picture_begin(width, 1); /* to measure */
    const double height = ceil(draw(&canvas, context));
    page_picture_begin(width, height);
    canvas.words.size = 0;
    draw(&canvas, context);
    mega_put_u8(&canvas.words, '\0');
    const bool failed = canvas.failed || canvas.words.failed || !clean;
    if (!failed)
        page_picture_end(clean, (const char *)canvas.words.data);
    free(clean);
    mega_buffer_free(&canvas.words);
    return failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for drawing") : 0;
}
