/*
 * mega_web.h - the functions that a page calls; `make web` compiles them to WebAssembly.
 *
 * A page has one module for each model, in a worker of its own. A function that returns an int
 * returns 0 or a MEGA_ERR_* code, and web_error then has the sentence. Results go to the functions
 * of page.h while a call runs. Memory that the page fills comes from web_alloc.
 */
#ifndef MEGA_WEB_H
#define MEGA_WEB_H

#include <stddef.h>
#include <stdint.h>

#define WEB_API(function) __attribute__((export_name(#function))) function

void *WEB_API(web_alloc)(size_t size);
void WEB_API(web_free)(void *memory);

typedef struct WebModel WebModel;

/* Opens a model file, whose bytes it takes over. Returns NULL only if memory ran out; web_error
 * says whether the file is a model, and nothing else may be asked of one that is not. */
WebModel *WEB_API(web_open)(void *bytes, size_t size);
void WEB_API(web_close)(WebModel *web);
/* Returns the sentence of the last error, or "". */
const char *WEB_API(web_error)(const WebModel *web);
/* Returns the rate that the model takes sound in, Hz, or 0 if it takes none. */
int WEB_API(web_rate)(const WebModel *web);

/* These tell every class to page_label. samples [count] are in [-1, 1], and pixels are
 * [height][width][3]. */
int WEB_API(web_classify_sound)(WebModel *web, const float *samples, size_t count, int rate);
int WEB_API(web_classify_picture)(WebModel *web, const uint8_t *pixels, int width, int height);

/* Hears the next samples, of which all calls up to web_hear_end have the same rate. Each window as
 * long as a clip, a quarter of that apart, is classified as soon as it is complete, and page_event
 * is told what is heard. */
int WEB_API(web_hear)(WebModel *web, const float *samples, size_t count, int rate);
/* Ends the recording: what was left of it is a last window, and open events end. */
int WEB_API(web_hear_end)(WebModel *web);
/* Computes the power [n / 2] of the frequencies in x [n], for a power of two n (spectrum.h). */
void WEB_API(web_spectrum)(const float *x, size_t n, float *power);

/* Translates one text, and tells page_text and page_score. */
int WEB_API(web_translate)(WebModel *web, const char *text, size_t size);
/* Continues a text by at most max_tokens, and tells page_text each part as it is made. */
int WEB_API(web_generate)(WebModel *web, const char *prompt, size_t size, int max_tokens,
                          double temperature, uint32_t seed);

/* Draw what the model looked at in an input, or how surprising a text is to a language model, with
 * the functions of surface.h. */
int WEB_API(web_explain_sound)(WebModel *web, const float *samples, size_t count, int rate);
int WEB_API(web_explain_picture)(WebModel *web, const uint8_t *pixels, int width, int height);
int WEB_API(web_explain_translation)(WebModel *web, const char *text, size_t size);
int WEB_API(web_explain_reading)(WebModel *web, const char *text, size_t size);

#endif
