/*
 * explain_head.c - explain for models that mark something in a text: draws tags, the answer to a
 * question or what fills the masks in the text itself. Attention and gates stand below it, and the
 * reach of the moving averages in the right column, as for a classifier.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "formats/text/tokenizer.h"
#include "src/base/characters.h"
#include "tools/run/lines.h"
#include "tools/run/pictures/explain.h"
#include "tools/run/text_argument.h"
#include "tools/run/text_inputs.h"

#define MOST_PIECES 4000 /* more pieces than the lines of a page hold */
#define MOST_LINES 28
#define MOST_BARS 10
#define MOST_LISTS 3 /* lists of bars: masks */
#define TINTS 6
#define ANSWERS 20 /* answers that shade the text */

/* A run of text with one style, which is drawn at once. */
typedef struct Piece {
    char *text;
    char label[64]; /* stands small after the text; "": none */
    Colour ground;
    bool has_ground, bold;
    bool ends_line;
} Piece;

typedef struct List {
    char title[80];
    Bar bars[MOST_BARS];
    int count;
} List;

typedef struct Page {
    const MegaModel *model;
    const MegaRaw *raw; /* the text */
    MegaCharacters characters; /* of the text */
    Observer observer;
    int runs; /* of the model: one for each window of a text */
    ReachRows reach;
    Piece *pieces; /* [count] */
    size_t count;
    bool failed; /* memory ran out */
    List lists[MOST_LISTS];
    int list_count;
    const char *note; /* what the grounds of the pieces mean */
    Scale scale;
    const char *unit; /* of the scale; NULL: the grounds have no scale */
    char title[400], subtitle[500];
} Page;

/* ---- Pieces --------------------------------------------------------------------------------- */

/* Adds one piece. A line end at its end is not part of it. */
static void add_piece(Page *page, const char *text, size_t size, const Piece *like)
{
    if (page->failed || page->count == MOST_PIECES)
        return;
    Piece *piece = &page->pieces[page->count];
    *piece = *like;
    piece->ends_line = size > 0 && text[size - 1] == '\n';
    size -= piece->ends_line;
    piece->text = strndup(text, size);
    page->failed = !piece->text;
    page->count += !page->failed;
    for (char *at = piece->text; at && *at; at++)
        if (*at == '\t' || *at == '\r')
            *at = ' ';
}

/* Adds the bytes from ... end - 1 of the text. Lines break after the blanks of a text without a
 * label; one with a label stays together. */
static void add_text(Page *page, size_t from, size_t end, const Piece *like)
{
    const char *text = page->raw->data;
    while (from < end && page->count < MOST_PIECES && !page->failed) {
        size_t stop = from;
        while (stop < end && text[stop] != '\n' && (like->label[0] || text[stop] != ' '))
            stop++;
        while (stop < end && text[stop] == ' ')
            stop++;
        stop += stop < end && text[stop] == '\n';
        add_piece(page, text + from, stop - from, like);
        from = stop;
    }
}

static double piece_width(Canvas *canvas, const Piece *piece, TextStyle style, TextStyle label)
{
    const double pads = piece->label[0] ? 14 + canvas_text_width(canvas, label, piece->label) : 0;
    return fmin(canvas_text_width(canvas, style, piece->text), style.room) + pads;
}

/* Draws the pieces one after the other, as far as there are lines. Returns the y below them. */
static double draw_pieces(const Page *page, Canvas *canvas, double y)
{
    const TextStyle label = {.size = 10.5, .bold = true};
    double at = PAGE_LEFT;
    int lines = MOST_LINES;
    for (size_t i = 0; i < page->count; i++) {
        const Piece *piece = &page->pieces[i];
        TextStyle style = {.size = 13.5, .bold = piece->bold, .room = PAGE_MAIN - 150};
        const double wide = piece_width(canvas, piece, style, label);
        if (at + wide > PAGE_LEFT + PAGE_MAIN && at > PAGE_LEFT) {
            at = PAGE_LEFT;
            y += TOKEN_PITCH;
            lines--;
        }
        if (lines <= 0) {
            canvas_text(canvas, PAGE_LEFT, y + 15, (TextStyle){.size = 12, .colour = COLOUR_GREY},
                        "... and so on: the rest of the text is not drawn");
            return y + TOKEN_PITCH;
        }
        if (piece->has_ground) {
            canvas_fill(canvas, at, y, wide, TOKEN_PITCH - 3, piece->ground);
            style.colour = colour_on(piece->ground);
        }
        canvas_text(canvas, at + (piece->label[0] ? 4 : 0), y + 15, style, "%s", piece->text);
        if (piece->label[0])
            canvas_text(
                canvas, at + wide - 5, y + 14.5,
                (TextStyle){.size = label.size, .bold = true, .align = 1, .colour = style.colour},
                "%s", piece->label);
        at += wide + (piece->label[0] ? 2 : 0);
        if (piece->ends_line) {
            at = PAGE_LEFT;
            y += TOKEN_PITCH;
            lines--;
        }
    }
    return y + (at > PAGE_LEFT ? TOKEN_PITCH : 0);
}

/* ---- The page ------------------------------------------------------------------------------- */

static double draw_page(Canvas *canvas, const void *context)
{
    const Page *page = context;
    const Observed *observed = &page->observer.inputs[0];
    const char *unit = observe_unit(page->model, false);
    double y = CHART_TOP + 8, side = y;
    char reach[64];
    chart_title(canvas, PAGE_WIDTH, page->title, page->subtitle);
    draw_heading(canvas, PAGE_LEFT, y + 14, "Text", page->note);
    if (page->unit)
        draw_scale(canvas, PAGE_LEFT + PAGE_MAIN, y + 4, true, page->scale, MAP_HEAT, page->unit);
    for (int i = 0; i < page->list_count; i++) {
        const List *list = &page->lists[i];
        draw_heading(canvas, PAGE_SIDE, side + 14, list->title, "");
        side =
            draw_bars(canvas, PAGE_SIDE, side + 26,
                      &(Bars){list->bars, list->count, 150, PAGE_SIDE_WIDTH - 215, 100, 1, " %"}) +
            12;
    }
    y = draw_pieces(page, canvas, y + 26) + 14;
    snprintf(reach, sizeof reach, "%s back and ahead", unit);
    side = draw_side(canvas, fmax(y, side), &page->reach, 1, reach);
    if (observed->length > 0) {
        y = draw_layers(canvas, page->model, observed, PAGE_LEFT, y, PAGE_MAIN);
        draw_positions(canvas, y - 2, observed->length, unit);
        y += 56;
    }
    return fmax(y, side + 24);
}

static void add_bar(List *list, const char *name, double value, bool marked)
{
    if (list->count == MOST_BARS)
        return;
    Bar *bar = &list->bars[list->count++];
    snprintf(bar->name, sizeof bar->name, "%s", name);
    for (char *at = bar->name; *at; at++)
        if (*at == '\n' || *at == '\t' || *at == '\r')
            *at = ' ';
    bar->value = value;
    bar->marked = marked;
}

/* A tap that observes the first window of a text. */
static void observe_first(void *context, const char *stage, int input, const float *data,
                          size_t rows, size_t columns)
{
    Page *page = context;
    page->runs += strcmp(stage, "embed") == 0;
    if (page->runs == 1)
        observe_tap(&page->observer, stage, input, data, rows, columns);
}

/* ---- Tags ----------------------------------------------------------------------------------- */

/* Returns the ground of a tag: one of a few light tints, by the order in which names occur. The
 * names of the tags stand in the text, so nothing depends on colour alone. */
static Colour tint_of(const char **names, const char *name)
{
    static const Colour tints[TINTS] = {{0.78, 0.87, 0.97}, {0.99, 0.86, 0.70}, {0.80, 0.92, 0.78},
                                        {0.90, 0.83, 0.95}, {0.98, 0.82, 0.86}, {0.93, 0.91, 0.70}};
    int at = 0;
    while (at < TINTS - 1 && names[at] && strcmp(names[at], name) != 0)
        at++;
    if (!names[at])
        names[at] = name;
    return tints[at];
}

static int mark_tags(Page *page, MegaPipeline *pipeline, const char *name, MegaError *err)
{
    const MegaTagOptions options = {.grouping = MEGA_GROUP_SIMPLE};
    const char *names[TINTS] = {NULL};
    List *list = &page->lists[page->list_count++];
    MegaTags tags;
    size_t done = 0;
    int code = mega_pipeline_tag(pipeline, page->raw, &options, &tags, err);
    if (code)
        return code;
    for (size_t i = 0; i < tags.count && page->count < MOST_PIECES; i++) {
        const MegaTag *tag = &tags.items[i];
        size_t start = mega_characters_byte(&page->characters, tag->start);
        const size_t end = mega_characters_byte(&page->characters, tag->end);
        const char *text = page->raw->data;
        Piece piece = {.has_ground = true, .ground = tint_of(names, tag->name)};
        char bar[200];
        while (start < end && text[start] == ' ')
            start++;
        start = start < done ? done : start;
        snprintf(piece.label, sizeof piece.label, "%.60s", tag->name);
        add_text(page, done, start, &(Piece){.text = NULL});
        add_text(page, start, end, &piece);
        done = end > done ? end : done;
        snprintf(bar, sizeof bar, "%.*s (%.60s)", (int)(end - start < 100 ? end - start : 100),
                 text + start, tag->name);
        add_bar(list, bar, 100 * (double)tag->score, true);
    }
    add_text(page, done, page->raw->size, &(Piece){.text = NULL});
    if (tags.count > MOST_BARS)
        snprintf(list->title, sizeof list->title, "The first %d of %zu tags", MOST_BARS,
                 tags.count);
    else
        snprintf(list->title, sizeof list->title, tags.count ? "Tags" : "No tag");
    snprintf(page->title, sizeof page->title, "%s: %zu tag%s", name, tags.count,
             tags.count == 1 ? "" : "s");
    page->note = "with its tags";
    mega_tags_free(&tags);
    return 0;
}

/* ---- Answers -------------------------------------------------------------------------------- */

/* Adds the text word by word, each shaded by the mean of its bytes' shares. The words of the best
 * answer are bold. */
static void add_shaded(Page *page, const float *shares, size_t best, size_t best_end)
{
    const char *text = page->raw->data;
    page->scale = scale_of(shares, page->raw->size, false);
    for (size_t from = 0, end; from < page->raw->size; from = end) {
        double sum = 0;
        end = from;
        while (end < page->raw->size && text[end] != ' ' && text[end] != '\n')
            sum += (double)shares[end++];
        const double share = end > from ? sum / (double)(end - from) : 0;
        end += end < page->raw->size;
        add_text(page, from, end,
                 &(Piece){.has_ground = share > 0,
                          .ground = map_colour(MAP_HEAT, share / page->scale.high),
                          .bold = from < best_end && end > best});
    }
}

static int mark_answer(Page *page, MegaPipeline *pipeline, const char *question, MegaError *err)
{
    const MegaRaw asked = {
        .kind = MEGA_RAW_TEXT, .data = question, .size = strlen(question), .name = "the question"};
    MegaAnswerOptions options = mega_answer_defaults();
    List *list = &page->lists[page->list_count++];
    MegaAnswers answers;
    options.top = ANSWERS;
    int code = mega_pipeline_answer(pipeline, &asked, page->raw, &options, &answers, err);
    float *shares = code ? NULL : calloc(page->raw->size + 1, sizeof *shares);
    if (!code && !shares)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    for (size_t i = 0; i < answers.count && !code; i++) {
        const MegaAnswer *answer = &answers.items[i];
        bool listed = false;
        for (size_t before = 0; before < i; before++)
            listed |= answers.items[before].start == answer->start &&
                      answers.items[before].end == answer->end;
        if (!listed)
            add_bar(list, answer->text.data, 100 * (double)answer->score, i == 0);
        const size_t end = mega_characters_byte(&page->characters, answer->end);
        for (size_t at = mega_characters_byte(&page->characters, answer->start); at < end; at++)
            shares[at] = fminf(1, shares[at] + answer->score);
    }
    if (!code && answers.count > 0) {
        const MegaAnswer *best = &answers.items[0];
        add_shaded(page, shares, mega_characters_byte(&page->characters, best->start),
                   mega_characters_byte(&page->characters, best->end));
        snprintf(page->title, sizeof page->title, "%s \xe2\x80\x93 %.1f %%", best->text.data,
                 100 * (double)best->score);
    }
    snprintf(list->title, sizeof list->title, "Answers");
    page->note = "shaded by how likely a place is in the answer; the best one is bold";
    page->unit = "";
    free(shares);
    if (!code)
        mega_answers_free(&answers);
    return code;
}

/* ---- Masks ---------------------------------------------------------------------------------- */

/* Adds the text token by token, shaded by attention, with the likeliest token in place of each
 * mask. */
static int add_filled(Page *page, const MegaFillings *fillings, int64_t mask, MegaError *err)
{
    const Observed *observed = &page->observer.inputs[0];
    const MegaTexts texts = {.first = page->raw->data, .first_size = page->raw->size};
    MegaTokenizer *tokenizer = NULL;
    MegaTokenized tokenized = {0};
    MegaTokens tokens = {0};
    size_t done = 0;
    int code =
        mega_tokenizer_new(&tokenizer, mega_model_meta(page->model), MEGA_TOKENIZER_SOURCE, err);
    if (!code)
        code = mega_tokenizer_encode_texts(tokenizer, &texts, &(MegaEncodeOptions){0}, &tokenized,
                                           err);
    if (!code)
        code = mega_tokenized_window(&tokenized, 0, &tokens, err);
    page->scale = scale_of(observed->combined, code ? 0 : observed->length, false);
    const size_t count = tokens.count < observed->length ? tokens.count : observed->length;
    for (size_t i = 0, m = 0; i < count && page->count < MOST_PIECES; i++) {
        const MegaToken *token = &tokens.data[i];
        const double value = (double)observed->combined[i];
        Piece piece = {.has_ground = true,
                       .ground = map_colour(MAP_HEAT, value / page->scale.high)};
        if (token->sequence < 0)
            continue;
        const size_t start = mega_characters_byte(&page->characters, token->start);
        const size_t end = mega_characters_byte(&page->characters, token->end);
        if (token->id != mask) {
            add_text(page, done, end, &piece);
        } else {
            const MegaFilling *best = &fillings->items[m++ * (size_t)fillings->count];
            const bool blank = best->text.data[0] == ' ';
            add_text(page, done, start, &(Piece){.text = NULL});
            if (blank)
                add_piece(page, " ", 1, &(Piece){.text = NULL});
            piece.bold = true;
            piece.ground = map_colour(MAP_BLUE, 0.78);
            snprintf(piece.label, sizeof piece.label, "%.0f %%", 100 * (double)best->score);
            add_piece(page, best->text.data + blank, best->text.size - blank, &piece);
        }
        done = end > done ? end : done;
    }
    mega_tokens_free(&tokens);
    mega_tokenized_free(&tokenized);
    mega_tokenizer_free(tokenizer);
    return code;
}

static int mark_masks(Page *page, MegaPipeline *pipeline, const char *name, MegaError *err)
{
    const MegaFillOptions options = {.top = MOST_BARS};
    const MegaMetaValue *mask = mega_meta_find(mega_model_meta(page->model), "special.mask");
    MegaFillings fillings;
    int code = mega_pipeline_fill(pipeline, page->raw, &options, &fillings, err);
    if (code)
        return code;
    code = observe_finish(&page->observer, err);
    if (!code)
        code = add_filled(page, &fillings, mask->integer, err);
    for (int m = 0; m < fillings.masks && m < MOST_LISTS; m++) {
        List *list = &page->lists[page->list_count++];
        if (fillings.masks > 1)
            snprintf(list->title, sizeof list->title, "Mask %d", m + 1);
        else
            snprintf(list->title, sizeof list->title, "In place of the mask");
        for (int i = 0; i < fillings.count; i++) {
            const MegaFilling *item = &fillings.items[m * fillings.count + i];
            add_bar(list, item->text.data, 100 * (double)item->score, i == 0);
        }
    }
    if (fillings.masks > 1)
        snprintf(page->title, sizeof page->title, "%s: %d masks", name, fillings.masks);
    else
        snprintf(page->title, sizeof page->title, "%s", fillings.items[0].sequence.data);
    for (char *at = page->title; *at; at++)
        if (*at == '\n')
            *at = ' ';
    page->note = "shaded by attention, all layers; masks hold their likeliest token";
    page->unit = " x the mean";
    mega_fillings_free(&fillings);
    return code;
}

/* ---- The whole picture ---------------------------------------------------------------------- */

static void describe(Page *page, const char *question)
{
    char name[256];
    const size_t length = page->observer.inputs[0].length;
    const char *model = observe_model_name(page->model, name);
    int used = snprintf(page->subtitle, sizeof page->subtitle, "%s \xc2\xb7 %zu %s", model, length,
                        observe_unit(page->model, false));
    if (page->runs > 1 && used > 0 && (size_t)used < sizeof page->subtitle)
        used += snprintf(page->subtitle + used, sizeof page->subtitle - (size_t)used,
                         " of the first of %d windows, whose attention is drawn", page->runs);
    if (question && used > 0 && (size_t)used < sizeof page->subtitle)
        snprintf(page->subtitle + used, sizeof page->subtitle - (size_t)used, " \xc2\xb7 %s",
                 question);
}

static int mark(Page *page, const ExplainOptions *options, MegaPipeline *pipeline, const char *name,
                MegaError *err)
{
    int code;
    mega_session_set_tap(mega_pipeline_session(pipeline), observe_first, page);
    switch (mega_model_task(page->model)) {
    case MEGA_TASK_TAG: code = mark_tags(page, pipeline, name, err); break;
    case MEGA_TASK_ANSWER: code = mark_answer(page, pipeline, options->question, err); break;
    default: code = mark_masks(page, pipeline, name, err); break;
    }
    mega_session_set_tap(mega_pipeline_session(pipeline), NULL, NULL);
    if (!code && mega_model_task(page->model) != MEGA_TASK_FILL)
        code = observe_finish(&page->observer, err);
    if (!code && page->failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    return code;
}

int explain_head(const ExplainOptions *options, const MegaModel *model, const char *input,
                 MegaError *err)
{
    const MegaPipelineOptions settings = {.session = options->session, .warn = report_warning};
    const MegaStackConfig *stack = &mega_model_config(model)->encoder;
    MegaPipeline *pipeline = NULL;
    MegaBuffer text = {0};
    Page page = {.model = model, .observer = {.model = model}};
    const MegaTextRules rules =
        mega_tokenizer_text_rules(mega_model_meta(model), MEGA_TOKENIZER_TARGET, false, "a text");
    const char *name = NULL;
    int code = read_text_argument(&text, input,
                                  options->text ? ARGUMENTS_ARE_TEXTS : ARGUMENTS_MAY_BE_TEXTS,
                                  &rules, &name, err);
    const MegaRaw raw = {.kind = MEGA_RAW_TEXT,
                         .data = text.size ? (const char *)text.data : "",
                         .size = text.size,
                         .name = name ? name : "the text"};
    page.raw = &raw;
    page.characters = mega_characters_of(raw.data, raw.size);
    if (!code && text.size == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the text is empty");
    if (!code && !(page.pieces = calloc(MOST_PIECES, sizeof *page.pieces)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    if (!code)
        code = mega_pipeline_new(&pipeline, model, &settings, err);
    if (!code)
        code = mark(&page, options, pipeline, name ? base_name(name) : "A text", err);
    if (!code)
        code = reach_of(stack, &model->encoder,
                        page.observer.inputs[0].length < 2 ? 2 : page.observer.inputs[0].length,
                        &page.reach, err);
    if (!code) {
        describe(&page, options->question);
        code = canvas_write(options->output, page.title, PAGE_WIDTH, draw_page, &page, err);
    }
    for (size_t i = 0; i < page.count; i++)
        free(page.pieces[i].text);
    free(page.pieces);
    mega_characters_free(&page.characters);
    observer_free(&page.observer);
    mega_pipeline_free(pipeline);
    mega_buffer_free(&text);
    return code;
}
