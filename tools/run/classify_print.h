/*
 * classify_print.h - prints what mega-run classify finds in the inputs of one model: a result for
 * each, one for each window of it, or the events in a recording.
 */
#ifndef MEGA_CLASSIFY_PRINT_H
#define MEGA_CLASSIFY_PRINT_H

#include "src/mega.h"
#include "tools/run/events.h"

/* How results are printed, by the options of the command. */
typedef struct ClassifyStyle {
    int top;      /* labels of a result; 0: the best, or all of a model from the hub */
    bool windows; /* results say which part of the recording they are of */
    bool show_path, json, quiet;
    double threshold; /* 0: windows are printed, not events */
    int smooth;
    bool ends;            /* print events when they end */
    const char **ignores; /* [ignore_count] labels, or several separated by commas */
    int ignore_count;
} ClassifyStyle;

typedef struct ClassifyPrinter {
    const ClassifyStyle *style;
    const MegaModel *model;
    const char *model_path;
    double clip;    /* seconds that the model looks at */
    Events *events; /* NULL until --threshold or a long recording needs it */
    double *sums;   /* [classes], sums over the windows of a long recording */
    bool explained; /* true once the user was told what is printed for a long recording */
    /* The input whose results are printed now. */
    const char *path;
    size_t line;    /* of a text that is a line of it, or 0 */
    size_t windows; /* number of windows of a long recording so far */
    double end;     /* end of the last window, in seconds */
    int printed;    /* number of events */
} ClassifyPrinter;

/* Begins with a model. classify_printer_free frees *out also after an error, which is a label of
 * --ignore that the model does not have, or want of memory. */
int classify_printer_new(ClassifyPrinter *out, const ClassifyStyle *style, const MegaModel *model,
                         const char *model_path, double clip, MegaError *err);
void classify_printer_free(ClassifyPrinter *printer);

/* Begins an input, a file or a line of it; the path must stay until its end. */
void classify_printer_begin(ClassifyPrinter *printer, const char *path, size_t line);
/* Takes the next result of the input. If only a clip of a recording was classified, `length` is
 * that of the whole recording in seconds, or 0 if it is not known. */
int classify_printer_take(ClassifyPrinter *printer, const MegaClassification *found, double length,
                          MegaError *err);
/* Ends the input; with `whole` it was looked at to its end. */
void classify_printer_end(ClassifyPrinter *printer, bool whole);

/* Returns how many lines a result has at the most. */
int classify_printer_top(const ClassifyPrinter *printer);

/* Reports an input without a result. */
void print_failed_input(const ClassifyStyle *style, const char *path, const MegaError *err);

#endif
