/*
 * warnings.h - tells the user about inputs that are accepted although something is wrong with them.
 * warnings.c writes to standard error; tools/web tells the page.
 */
#ifndef MEGA_WARNINGS_H
#define MEGA_WARNINGS_H

/* Writes "mega-run: warning: SENTENCE"; fits MegaPipelineOptions.warn. */
void report_warning(void *context, const char *sentence);
/* Tells that only the first `end` of `length` seconds of a recording were used (length 0: not
 * known), and which option takes all of it: `way`, such as "--window", which is to be followed by
 * `clip`, the seconds of a clip. */
void report_cut(const char *path, double end, double length, double clip, const char *way);

#endif
