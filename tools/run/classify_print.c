/*
 * classify_print.c - see classify_print.h. With --threshold, windows go through events.c. So do
 * those of a recording that is longer than a clip; if nothing was heard in it, its average over all
 * windows is printed.
 */
#include "tools/run/classify_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "tools/common/messages.h"
#include "tools/run/classes.h"
#include "tools/run/results.h"
#include "tools/run/warnings.h"

#define SCAN_THRESHOLD 0.5 /* threshold for events in recordings that are longer than a clip */

/* Marks the labels of --ignore. */
static int ignore_labels(const ClassifyPrinter *printer, MegaError *err)
{
    for (int i = 0; i < printer->style->ignore_count; i++) {
        const char *names = printer->style->ignores[i];
        MegaError inner;
        for (int label; *names; events_ignore(printer->events, label))
            if (next_class(printer->model, printer->model_path, &names, &label, &inner))
                return mega_fail(err, inner.code, "--ignore: %s", inner.text);
    }
    return 0;
}

int classify_printer_new(ClassifyPrinter *out, const ClassifyStyle *style, const MegaModel *model,
                         const char *model_path, double clip, MegaError *err)
{
    *out = (ClassifyPrinter){
        .style = style, .model = model, .model_path = model_path, .clip = clip};
    if (style->threshold <= 0)
        return 0;
    int code = events_new(&out->events, mega_model_class_count(model), style->threshold,
                          style->smooth, err);
    return code ? code : ignore_labels(out, err);
}

void classify_printer_free(ClassifyPrinter *printer)
{
    free(printer->sums);
    events_free(printer->events);
    *printer = (ClassifyPrinter){0};
}

void classify_printer_begin(ClassifyPrinter *printer, const char *path, size_t line)
{
    printer->path = path;
    printer->line = line;
    printer->windows = 0;
    printer->end = 0;
    printer->printed = 0;
}

int classify_printer_top(const ClassifyPrinter *printer)
{
    const int classes = mega_model_class_count(printer->model);
    const int top = printer->style->top;
    if (top == 0)
        return is_hub_classifier(printer->model) ? classes : 1;
    return top < classes ? top : classes;
}

/* Prints labels and scores, the best first; as JSON a list of {"label", "score"}. */
static void print_hub_result(const ClassifyPrinter *printer, const MegaClassification *found,
                             int top)
{
    const ClassifyStyle *style = printer->style;
    char buffer[24];
    if (style->json)
        print_json_line(labels_json(printer->model, found, top));
    for (int i = 0; !style->json && i < top; i++)
        printf("%s%s%s\t%.6f\n", style->show_path ? printer->path : "",
               style->show_path ? "\t" : "", hub_label(printer->model, found->order[i], buffer),
               (double)found->probabilities[found->order[i]]);
    fflush(stdout);
}

static json_t *result_json(const ClassifyPrinter *printer, const MegaClassification *found,
                           int top)
{
    json_t *object = classification_json(printer->model, printer->path, printer->model_path, found,
                                         top, printer->style->windows || found->is_cut);
    if (printer->line)
        json_object_set_new(object, "line", json_integer((json_int_t)printer->line));
    return object;
}

static void print_result(const ClassifyPrinter *printer, const MegaClassification *found)
{
    const ClassifyStyle *style = printer->style;
    const MegaModel *model = printer->model;
    const int top = classify_printer_top(printer);
    if (is_hub_classifier(model)) {
        print_hub_result(printer, found, top);
        return;
    }
    if (style->json) {
        print_json_line(result_json(printer, found, top));
        return;
    }
    for (int i = 0; i < top; i++) {
        char number[16];
        if (style->show_path)
            printf("%s\t", printer->path);
        if (style->windows)
            printf("%.2f\t%.2f\t", found->start, found->end);
        printf("%s\t%.4f\n", class_name(model, found->order[i], number),
               (double)found->probabilities[found->order[i]]);
    }
    fflush(stdout);
}

static void print_event(void *context, EventMoment moment, const Event *event)
{
    ClassifyPrinter *printer = context;
    const ClassifyStyle *style = printer->style;
    char number[16];
    if (moment != (style->ends || printer->windows ? EVENT_ENDS : EVENT_BEGINS))
        return;
    printer->printed++;
    if (style->json) {
        print_json_line(event_json(printer->model, printer->path, printer->model_path, event));
        return;
    }
    if (style->show_path)
        printf("%s\t", printer->path);
    printf("%.2f\t%.2f\t%s\t%.4f\n", event->start, event->end,
           class_name(printer->model, event->label, number), event->probability);
    fflush(stdout);
}

/* ---- Recordings longer than a clip ---------------------------------------------------------- */

static int begin_scan(ClassifyPrinter *printer, MegaError *err)
{
    const int classes = mega_model_class_count(printer->model);
    if (!printer->sums && !(printer->sums = calloc((size_t)classes, sizeof *printer->sums)))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d classes", classes);
    memset(printer->sums, 0, (size_t)classes * sizeof *printer->sums);
    if (!printer->events) {
        int code = events_new(&printer->events, classes, SCAN_THRESHOLD, printer->style->smooth,
                              err);
        if (code)
            return code;
        for (int i = 0; i < classes; i++)
            if (is_background(mega_model_label(printer->model, i)))
                events_ignore(printer->events, i);
    }
    if (!printer->style->quiet && !printer->explained)
        report("%s is longer than the model's clip of %g s: printed are the seconds where "
               "something begins and ends; --window %g shows every window",
               mega_source_name(printer->path), printer->clip, printer->clip);
    printer->explained = true;
    return 0;
}

static void add_window(ClassifyPrinter *printer, const MegaClassification *found)
{
    printer->windows++;
    printer->end = found->end;
    for (int i = 0; i < mega_model_class_count(printer->model); i++)
        printer->sums[i] += (double)found->probabilities[i];
}

/* Prints the class with the largest average probability if a long recording had no event. */
static void finish_scan(ClassifyPrinter *printer)
{
    Event whole = {.end = printer->end};
    if (!printer->windows || printer->printed)
        return;
    for (int i = 0; i < mega_model_class_count(printer->model); i++)
        if (printer->sums[i] > printer->sums[whole.label])
            whole.label = i;
    whole.probability = printer->sums[whole.label] / (double)printer->windows;
    if (!printer->style->quiet)
        report("%s: nothing reached probability %g; the line is the average of the recording",
               mega_source_name(printer->path), SCAN_THRESHOLD);
    print_event(printer, EVENT_ENDS, &whole);
}

/* ---- Results -------------------------------------------------------------------------------- */

int classify_printer_take(ClassifyPrinter *printer, const MegaClassification *found, double length,
                          MegaError *err)
{
    int code = found->is_scanned && !printer->windows ? begin_scan(printer, err) : 0;
    if (code)
        return code;
    if (found->is_scanned)
        add_window(printer, found);
    if (printer->style->threshold > 0 || found->is_scanned) {
        events_add(printer->events, found->probabilities, found->start, found->end, print_event,
                   printer);
        heed_closed_output();
        return 0;
    }
    print_result(printer, found);
    if (found->is_cut && !printer->style->quiet)
        report_cut(printer->path, found->end, length, printer->clip, "--window");
    return 0;
}

void classify_printer_end(ClassifyPrinter *printer, bool whole)
{
    if (printer->events)
        events_finish(printer->events, print_event, printer);
    if (whole)
        finish_scan(printer);
}

void print_failed_input(const ClassifyStyle *style, const char *path, const MegaError *err)
{
    if (!style->quiet)
        report("%s", err->text);
    if (style->json)
        print_json_line(
            json_pack("{s:o,s:o}", "input", json_text(path), "error", json_error(err)));
}
