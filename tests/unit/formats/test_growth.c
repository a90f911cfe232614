/*
 * test_growth.c - the cost of a text grows no faster than its length, whatever it contains.
 *
 * The work is counted instead of timed: calls of functions in formats/, items of regular
 * expressions that are tried, and bytes that these pass. A text of eight times the length may take
 * sixteen times the steps; quadratic work takes sixty-four times as many.
 */
#define COUNT_STEPS_ITSELF
#include "tests/unit/count_steps.h"

#include "tests/unit/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/text/bpe.h"
#include "formats/text/moses.h"
#include "formats/text/text_input.h"
#include "formats/text/vocab.h"

#define SMALL 500 /* bytes */
#define TIMES 8
#define MOST_TIMES 16
#define PASSED_A_STEP 16 /* bytes that are passed for the price of a step */
#define START_UP 2000    /* steps that every text may take */

static uint64_t steps;

/* ---- Counting ------------------------------------------------------------------------------- */

void __cyg_profile_func_enter(void *function, void *caller);
void __cyg_profile_func_exit(void *function, void *caller);

void __cyg_profile_func_enter(void *function, void *caller)
{
    (void)function;
    (void)caller;
    steps++;
}

void __cyg_profile_func_exit(void *function, void *caller)
{
    (void)function;
    (void)caller;
}

static int count_item(pcre2_callout_block *block, void *context)
{
    PCRE2_SIZE *before = context, here = block->current_position;
    steps += 1 + (here > *before ? here - *before : *before - here) / PASSED_A_STEP;
    *before = here;
    return 0;
}

pcre2_code *counted_compile(PCRE2_SPTR pattern, PCRE2_SIZE length, uint32_t options, int *number,
                            PCRE2_SIZE *offset, pcre2_compile_context *context)
{
    return pcre2_compile(pattern, length, options | PCRE2_AUTO_CALLOUT, number, offset, context);
}

static pcre2_match_context *counting(PCRE2_SIZE *position)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    assert_non_null(context);
    pcre2_set_callout(context, count_item, position);
    return context;
}

/* A caller's context keeps its own callout, which is a counted function. */
int counted_match(const pcre2_code *code, PCRE2_SPTR subject, PCRE2_SIZE length, PCRE2_SIZE start,
                  uint32_t options, pcre2_match_data *match, pcre2_match_context *context)
{
    PCRE2_SIZE position = start;
    pcre2_match_context *own = context ? NULL : counting(&position);
    const int result =
        pcre2_match(code, subject, length, start, options, match, context ? context : own);
    pcre2_match_context_free(own);
    return result;
}

int counted_substitute(const pcre2_code *code, PCRE2_SPTR subject, PCRE2_SIZE length,
                       PCRE2_SIZE start, uint32_t options, pcre2_match_data *match,
                       pcre2_match_context *context, PCRE2_SPTR replacement, PCRE2_SIZE size,
                       PCRE2_UCHAR *out, PCRE2_SIZE *out_length)
{
    PCRE2_SIZE position = start;
    pcre2_match_context *own = context ? NULL : counting(&position);
    const int result =
        pcre2_substitute(code, subject, length, start, options, match, context ? context : own,
                         replacement, size, out, out_length);
    pcre2_match_context_free(own);
    return result;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

/* A text that begins with `head`, repeats `unit` and ends with `tail`. */
typedef struct Shape {
    const char *head, *unit, *tail;
} Shape;

static const Shape shapes[] = {
    {"", ".", ""},
    {"", ". ", ""},
    {"", "\"", ""},
    {"", "'", ""},
    {"", "`", ""},
    {"", ",", ""},
    {"", "1,", ""},
    {"", " ", ""},
    {"", "\t", ""},
    {"", "\u00a0", ""},
    {"", "(", ""},
    {"", ") ", ""},
    {"", " )", ""},
    {"", "\",", ""},
    {"\"", ".", ""},
    {"\"", ",", ""},
    {"", ".", "\""},
    {"", ",", "\""},
    {"", "\u2026", ""},
    {"", "\u00ab\u00a0", ""},
    {"", "a", ""},
    {"", "\u00fc", ""},
    {"", "\u4e2d", ""},
    {"", "a.", ""},
    {"", "DOT", "MULTI"},
    {"", "DOTMULTI", ""},
    {"", "\U0001f600", ""},
    {"", "\xff", ""},
    {"", "a's ", ""},
    {"", "&quot; ", ""},
    {"", "a @-@ ", ""},
    {"", "1 ", ""},
    {"", "1 %", ""},
    {"a", "\u0301", ""},
    {"", ". '", ""},
    {"", "-", ""},
    {"", "/", ""},
    {"", ".\" ", ""},
    {"", " .\"", "x"},
    {"", "lower ", ""},
    {"", "lo", ""},
    {"", "west", ""},
    {"", "ab", "c"},
    {"", "a b\r\n", ""},
    {"", "\xef\xbb\xbf", ""},
    {"", "\xef\xbb\xbf\r", ""},
    {"", "@@ ", ""},
    {"", "''", ""},
    {"", "\u201e\u201c", ""},
    {"", "d' ", ""},
    {"", "A. ", "b"},
    {"", "\n", ""},
    {"<", "<", ">"},
    {"", "12", "a"},
    {"", "aaaaaaaaac ", ""},
    {"", "\u3000.", ""},
};

static void make(const Shape *shape, size_t size, MegaBuffer *text)
{
    text->size = 0;
    mega_put_bytes(text, shape->head, strlen(shape->head));
    while (text->size < size)
        mega_put_bytes(text, shape->unit, strlen(shape->unit));
    mega_put_bytes(text, shape->tail, strlen(shape->tail));
}

/* A function that processes a text in one of the ways that are counted. */
typedef int (*Way)(const void *object, const MegaBuffer *text, MegaError *err);

static uint64_t cost(Way way, const void *object, const Shape *shape, size_t size)
{
    MegaBuffer text = {0};
    MegaError err = {0};
    make(shape, size, &text);
    steps = 0;
    if (way(object, &text, &err))
        fail_msg("'%s%s...%s': %s", shape->head, shape->unit, shape->tail, err.text);
    const uint64_t taken = steps;
    mega_buffer_free(&text);
    return taken;
}

static void check_growth(Way way, const void *object, const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const uint64_t few = cost(way, object, &shapes[i], SMALL);
        const uint64_t many = cost(way, object, &shapes[i], TIMES * SMALL);
        assert_true(few > 0);
        if (many > MOST_TIMES * few + START_UP)
            fail_msg("%s: '%s%s...%s' takes %llu steps, %d times the length %llu", name,
                     shapes[i].head, shapes[i].unit, shapes[i].tail, (unsigned long long)few, TIMES,
                     (unsigned long long)many);
    }
}

/* ---- Ways ----------------------------------------------------------------------------------- */

static int through_moses(const void *moses, const MegaBuffer *text, MegaError *err)
{
    MegaBuffer repaired = {0}, normal = {0}, tokens = {0}, joined = {0};
    mega_utf8_repair(text->data, text->size, &repaired);
    int code =
        mega_moses_normalize(moses, (const char *)repaired.data, repaired.size, &normal, err);
    if (!code)
        code = mega_moses_tokenize(moses, (const char *)normal.data, normal.size, &tokens, err);
    if (!code)
        code = mega_moses_detokenize(moses, (const char *)tokens.data, tokens.size, &joined, err);
    mega_buffer_free(&repaired);
    mega_buffer_free(&normal);
    mega_buffer_free(&tokens);
    mega_buffer_free(&joined);
    return code;
}

static void moses_is_linear(void **state)
{
    static const char *const languages[] = {"en", "de", "fr"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        MegaMoses *moses;
        assert_int_equal(mega_moses_new(&moses, languages[i], NULL), 0);
        check_growth(through_moses, moses, languages[i]);
        mega_moses_free(moses);
    }
}

static int through_bpe(const void *bpe, const MegaBuffer *text, MegaError *err)
{
    MegaBuffer repaired = {0}, pieces = {0}, joined = {0};
    mega_utf8_repair(text->data, text->size, &repaired);
    int code = mega_bpe_apply(bpe, (const char *)repaired.data, repaired.size, &pieces, err);
    if (!code && pieces.size)
        mega_bpe_join((const char *)pieces.data, pieces.size, &joined);
    mega_buffer_free(&repaired);
    mega_buffer_free(&pieces);
    mega_buffer_free(&joined);
    return code;
}

static void check_bpe(const char *codes, const MegaBpeOptions *options, const char *name)
{
    MegaMeta *meta = mega_meta_new();
    MegaBpe *bpe = NULL;
    MegaError err = {0};
    if (mega_bpe_import(meta, codes, options, &err) || mega_bpe_from_meta(&bpe, meta, &err))
        fail_msg("%s", err.text);
    check_growth(through_bpe, bpe, name);
    mega_bpe_free(bpe);
    mega_meta_free(meta);
}

static void bpe_is_linear(void **state)
{
    static const char *const glossaries[] = {"\\d+", "low", "<[^<>]*>", "[A-Z.]+", "ü"};
    MegaBpeOptions vocabulary = {.vocabulary = "tests/data/bpe/vocabulary", .threshold = 2};
    MegaBpeOptions glossary = {.glossaries = glossaries, .glossary_count = 5};
    (void)state;
    check_bpe("tests/data/bpe/codes", NULL, "merges");
    check_bpe("tests/data/bpe/codes.old", NULL, "old merges");
    check_bpe("tests/data/bpe/codes", &vocabulary, "vocabulary");
    check_bpe("tests/data/bpe/codes", &glossary, "glossaries");
}

typedef struct Encoder {
    MegaVocab *vocab;
    MegaTextPreprocess preprocess;
    MegaTextRules rules;
} Encoder;

static int through_encoder(const void *object, const MegaBuffer *text, MegaError *err)
{
    const Encoder *encoder = object;
    MegaBuffer copy = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    mega_put_bytes(&copy, text->data, text->size);
    int code = mega_text_clean(&copy, "text", &encoder->rules, NULL, err);
    if (!code)
        code = mega_text_encode(encoder->vocab, &encoder->preprocess, (const char *)copy.data,
                                copy.size, "text", &ids, &count, err);
    free(ids);
    mega_buffer_free(&copy);
    return code == MEGA_ERR_INPUT ? 0 : code; /* texts of nothing but byte order marks or blanks
                                                 are empty */
}

static void encoding_is_linear(void **state)
{
    char path[] = "/tmp/mega-growth-XXXXXX";
    const int fd = mkstemp(path);
    Encoder encoder = {
        .preprocess = {.cls = -1, .eos = MEGA_ID_EOS, .unk = MEGA_ID_UNK},
        .rules = {.what = "a text", .bytes = MEGA_TEXT_REPAIRED, .marks_inside = true}};
    (void)state;
    assert_true(fd >= 0 && write(fd, "a 1\nb 1\n. 1\n97 1\n", 17) == 17);
    close(fd);
    assert_int_equal(mega_vocab_read(&encoder.vocab, path, false, NULL), 0);
    unlink(path);
    encoder.preprocess.unit = MEGA_TEXT_SYMBOLS;
    check_growth(through_encoder, &encoder, "symbols");
    encoder.preprocess.unit = MEGA_TEXT_CHARACTERS;
    check_growth(through_encoder, &encoder, "characters");
    encoder.preprocess.unit = MEGA_TEXT_BYTES;
    encoder.rules.bytes = MEGA_TEXT_BINARY;
    check_growth(through_encoder, &encoder, "bytes");
    mega_vocab_free(encoder.vocab);
}

/* The count reveals quadratic work: here, a run is tried from each of its places. */
static int quadratic(const void *object, const MegaBuffer *text, MegaError *err)
{
    PCRE2_UCHAR *out = malloc(2 * text->size + 1);
    PCRE2_SIZE length = 2 * text->size + 1;
    const int count = counted_substitute(object, text->data, text->size, 0, PCRE2_SUBSTITUTE_GLOBAL,
                                         NULL, NULL, (PCRE2_SPTR) "", 0, out, &length);
    free(out);
    return count < 0 ? mega_fail(err, MEGA_ERR_LIMIT, "substitution fails: %d", count) : 0;
}

static void what_is_quadratic_is_seen(void **state)
{
    static const Shape dots = {"", ".", ""};
    int number;
    PCRE2_SIZE offset;
    (void)state;
    pcre2_code *code = counted_compile((PCRE2_SPTR) "\\.+[\"']", PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP, &number, &offset, NULL);
    assert_non_null(code);
    const uint64_t few = cost(quadratic, code, &dots, SMALL);
    const uint64_t many = cost(quadratic, code, &dots, TIMES * SMALL);
    assert_true(many > 2 * MOST_TIMES * few);
    pcre2_code_free(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moses_is_linear),
        cmocka_unit_test(bpe_is_linear),
        cmocka_unit_test(encoding_is_linear),
        cmocka_unit_test(what_is_quadratic_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
