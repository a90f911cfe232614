/*
 * glossary.c - runs regular expressions with PCRE2 under limits; see glossary.h.
 *
 * PCRE2's own limits hold for each place of a word where it tries a match, so they do not bound the
 * cost of a long word. Therefore the expressions are compiled with a callout before every item,
 * which counts steps and ends the search when the text has used up its share.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "formats/text/glossary.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 60 /* bytes of an expression that messages show */

/* Limits of one search: memory for backtracking, and number of times it backtracks. */
#define MAX_HEAP 32768 /* KiB */
#define MAX_BACKTRACKS 1000000
#define MAX_DEPTH 250000

/* Limits of the steps of all searches in a text. An expression without nested repetition takes a
 * few steps per byte. The constant part is for short texts, since each search takes some steps in
 * any case. */
#define STEPS_OF_A_TEXT 2000000
#define STEPS_OF_A_BYTE 64 /* for each byte and expression */
#define STEPS_OF_A_SEARCH 16
#define BYTES_OF_A_STEP 16    /* bytes passed between two items for the price of a step */
#define BYTES_OF_A_FRAME 1024 /* copied to backtrack; they grow with the number of captures */

struct MegaGlossary {
    pcre2_code **codes;   /* [count] */
    uint32_t *weights;    /* [count]: steps that one item of the expression costs */
    char (*names)[SHOWN]; /* [count]: the beginning of each expression */
    size_t count;
};

struct MegaGlossarySearch {
    const MegaGlossary *glossary;
    pcre2_match_data *match;
    pcre2_match_context *context;
    uint64_t steps_left;
    size_t position; /* place of the last callout */
    uint32_t weight; /* steps per item of the current expression */
};

/* ---- Compiling ------------------------------------------------------------------------------ */

static int compile(MegaGlossary *glossary, const char *expression, pcre2_compile_context *context,
                   MegaError *err)
{
    int number;
    size_t offset;
    strncpy(glossary->names[glossary->count], expression, SHOWN - 1);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT, &number,
                      &offset, context);
    if (!code) {
        char text[128] = "";
        pcre2_get_error_message(number, (PCRE2_UCHAR *)text, sizeof text);
        return mega_fail(err, MEGA_ERR_ARGUMENT, "glossary '%s': %s",
                         glossary->names[glossary->count], text);
    }
    size_t frame = 0;
    pcre2_pattern_info(code, PCRE2_INFO_FRAMESIZE, &frame);
    glossary->weights[glossary->count] = (uint32_t)(1 + frame / BYTES_OF_A_FRAME);
    glossary->codes[glossary->count++] = code;
    return 0;
}

int mega_glossary_new(MegaGlossary **out, const char *const *expressions, size_t count,
                      MegaError *err)
{
    *out = NULL;
    if (count > MEGA_GLOSSARY_MAX_COUNT)
        return mega_fail(err, MEGA_ERR_LIMIT, "there are %zu glossaries; at most %d can be used",
                         count, MEGA_GLOSSARY_MAX_COUNT);
    MegaGlossary *glossary = calloc(1, sizeof *glossary);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (glossary) {
        glossary->codes = calloc(count + 1, sizeof *glossary->codes);
        glossary->weights = calloc(count + 1, sizeof *glossary->weights);
        glossary->names = calloc(count + 1, sizeof *glossary->names);
    }
    int code = 0;
    if (!context || !glossary || !glossary->codes || !glossary->weights || !glossary->names)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the glossaries");
    else
        pcre2_set_max_pattern_length(context, MEGA_GLOSSARY_MAX_SIZE);
    for (size_t i = 0; i < count && !code; i++)
        code = compile(glossary, expressions[i], context, err);
    pcre2_compile_context_free(context);
    if (code)
        mega_glossary_free(glossary);
    else
        *out = glossary;
    return code;
}

void mega_glossary_free(MegaGlossary *glossary)
{
    if (!glossary)
        return;
    for (size_t i = 0; i < glossary->count; i++)
        pcre2_code_free(glossary->codes[i]);
    free(glossary->codes);
    free(glossary->weights);
    free(glossary->names);
    free(glossary);
}

size_t mega_glossary_count(const MegaGlossary *glossary)
{
    return glossary->count;
}

/* ---- Searching ------------------------------------------------------------------------------ */

static bool take_steps(MegaGlossarySearch *search, uint64_t steps)
{
    const bool enough = steps <= search->steps_left;
    search->steps_left = enough ? search->steps_left - steps : 0;
    return enough;
}

/* PCRE2 calls this before every item of an expression. The bytes between two callouts count,
 * too. */
static int count_steps(pcre2_callout_block *block, void *context)
{
    MegaGlossarySearch *search = context;
    const size_t here = block->current_position, before = search->position;
    search->position = here;
    const size_t passed = here > before ? here - before : before - here;
    return take_steps(search, search->weight + passed / BYTES_OF_A_STEP) ? 0 : PCRE2_ERROR_CALLOUT;
}

int mega_glossary_search_new(MegaGlossarySearch **out, const MegaGlossary *glossary,
                             size_t text_size, MegaError *err)
{
    *out = NULL;
    MegaGlossarySearch *search = calloc(1, sizeof *search);
    if (search) {
        search->match = pcre2_match_data_create(1, NULL);
        search->context = pcre2_match_context_create(NULL);
    }
    if (!search || !search->match || !search->context) {
        mega_glossary_search_free(search);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory to match a glossary");
    }
    search->glossary = glossary;
    search->steps_left =
        STEPS_OF_A_TEXT + STEPS_OF_A_BYTE * (uint64_t)text_size * (uint64_t)glossary->count;
    pcre2_set_heap_limit(search->context, MAX_HEAP);
    pcre2_set_match_limit(search->context, MAX_BACKTRACKS);
    pcre2_set_depth_limit(search->context, MAX_DEPTH);
    pcre2_set_callout(search->context, count_steps, search);
    *out = search;
    return 0;
}

void mega_glossary_search_free(MegaGlossarySearch *search)
{
    if (!search)
        return;
    pcre2_match_data_free(search->match);
    pcre2_match_context_free(search->context);
    free(search);
}

static int fail(int number, const char *expression, const char *word, size_t size, MegaError *err)
{
    char text[128] = "";
    const int shown = (int)(size < 40 ? size : 40);
    switch (number) {
    case PCRE2_ERROR_NOMEMORY:
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory to match glossary '%s'", expression);
    case PCRE2_ERROR_HEAPLIMIT:
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "glossary '%s' takes more than %d MB to match '%.*s'; give a simpler "
                         "regular expression",
                         expression, MAX_HEAP / 1024, shown, word);
    case PCRE2_ERROR_CALLOUT:
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "glossary '%s' takes too long to match '%.*s'; give a simpler regular "
                         "expression",
                         expression, shown, word);
    default:
        pcre2_get_error_message(number, (PCRE2_UCHAR *)text, sizeof text);
        return mega_fail(err, MEGA_ERR_ARGUMENT, "glossary '%s' cannot match '%.*s': %s",
                         expression, shown, word, text);
    }
}

static int search_from(MegaGlossarySearch *search, size_t index, const char *word, size_t size,
                       size_t at, uint32_t options, MegaError *err)
{
    const MegaGlossary *glossary = search->glossary;
    search->position = at;
    search->weight = glossary->weights[index];
    const int count =
        take_steps(search, STEPS_OF_A_SEARCH)
            ? pcre2_match(glossary->codes[index], (PCRE2_SPTR)word, size, at,
                          PCRE2_NO_UTF_CHECK | options, search->match, search->context)
            : PCRE2_ERROR_CALLOUT;
    if (count < PCRE2_ERROR_NOMATCH)
        return fail(count, glossary->names[index], word, size, err);
    return count != PCRE2_ERROR_NOMATCH;
}

int mega_glossary_is_match(MegaGlossarySearch *search, size_t index, const char *word, size_t size,
                           MegaError *err)
{
    return search_from(search, index, word, size, 0, PCRE2_ANCHORED | PCRE2_ENDANCHORED, err);
}

int mega_glossary_find(MegaGlossarySearch *search, size_t index, const char *word, size_t size,
                       size_t at, MegaGlossaryMatch *match, MegaError *err)
{
    const int found = search_from(search, index, word, size, at, 0, err);
    if (found <= 0)
        return found;
    const size_t *range = pcre2_get_ovector_pointer(search->match);
    /* \K can move the beginning of a match to any place that the search has seen. */
    if (range[0] < at || range[1] < range[0] || range[1] > size)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "glossary '%s' matches text that it has passed already (\\K in a "
                         "lookaround); give another regular expression",
                         search->glossary->names[index]);
    *match = (MegaGlossaryMatch){range[0], range[1]};
    return 1;
}
