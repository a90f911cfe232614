/*
 * page.h - what the module asks of the page that runs it. tools/web/site/engine.js has these
 * functions; they do not call back into the module. Texts are UTF-8 and end with a NUL.
 */
#ifndef MEGA_PAGE_H
#define MEGA_PAGE_H

#include <stddef.h>

/* Receives a class and its probability; the most probable class comes first. */
void page_label(const char *name, double probability);
/* Receives an event when it begins (ends = 0) and again when it ends; times are seconds since
 * web_hear was first called. */
void page_event(int ends, const char *name, double start, double end, double probability);
/* Receives the next part of a text, which need not end with a NUL. */
void page_text(const char *bytes, size_t size);
/* Receives the natural logarithm of a translation's probability, divided by its length. */
void page_score(double score);
/* Receives a sentence about an input that was accepted although something is wrong with it. */
void page_warn(const char *sentence);

/* Begins a picture of that size; what was drawn before is dropped. */
void page_picture_begin(double width, double height);
/* Ends the picture. `words` is all text in it, line by line, for readers who do not see it. */
void page_picture_end(const char *title, const char *words);

#endif
