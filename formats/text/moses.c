/*
 * moses.c - see moses.h. The rules are tables of regular expressions for PCRE2, in the order of
 * their application. Steps that need more than a substitution are code.
 */
#define _GNU_SOURCE /* tdestroy */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "formats/text/moses.h"

#include <pcre2.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/moses_prefixes.h"

/* ---- Rules ---------------------------------------------------------------------------------- */

typedef struct Rule {
    const char *pattern, *replacement;
} Rule;

/*
 * Letters and numbers are those of sacremoses, whatever Unicode version the library knows:
 * characters up to U+FFFF of Unicode 6.2, and some signs (MARKS) that Unicode does not call
 * letters. Chinese characters and Korean syllables do not count as letters; each is a token of its
 * own.
 */
#define HIGH "\\x{10000}-\\x{10ffff}"
#define CJK                                                                                        \
    "\\x{2e80}-\\x{2fd5}\\x{3005}\\x{3007}\\x{3021}-\\x{3029}\\x{3038}-\\x{303b}"                  \
    "\\x{3400}-\\x{9fff}\\x{ac00}-\\x{d7a3}\\x{f900}-\\x{faff}"
#define LATER_LETTERS                                                                              \
    "\\x{363}-\\x{36f}\\x{560}\\x{588}\\x{5ef}\\x{860}-\\x{897}\\x{8b3}-\\x{8e3}\\x{9fc}"          \
    "\\x{af9}-\\x{afc}\\x{c04}\\x{c5a}-\\x{c5d}\\x{c80}\\x{cdc}-\\x{cdd}\\x{cf3}-\\x{d00}"         \
    "\\x{d04}\\x{d54}-\\x{d56}\\x{d5f}\\x{d81}\\x{e86}\\x{e89}\\x{e8c}\\x{e8e}-\\x{e93}"           \
    "\\x{e98}\\x{ea0}\\x{ea8}-\\x{ea9}\\x{eac}\\x{f82}-\\x{f83}\\x{1063}-\\x{1064}"                \
    "\\x{1069}-\\x{106d}\\x{1087}-\\x{108d}\\x{108f}-\\x{109b}\\x{13f5}-\\x{13fd}\\x{170d}"        \
    "\\x{171f}\\x{1878}\\x{1abf}-\\x{1ace}\\x{1b4c}\\x{1c36}\\x{1c80}-\\x{1cbf}\\x{1cfa}"          \
    "\\x{1dd3}-\\x{1de6}\\x{2c2f}\\x{2c5f}\\x{312e}-\\x{312f}\\x{31bb}-\\x{31bf}\\x{a69e}"         \
    "\\x{a78f}\\x{a7ae}-\\x{a7af}\\x{a7b2}-\\x{a7f6}\\x{a802}\\x{a80b}\\x{a8c5}"                   \
    "\\x{a8fd}-\\x{a8ff}\\x{a9e5}\\x{aa7b}-\\x{aa7d}\\x{ab60}-\\x{ab63}\\x{ab66}-\\x{abbf}"
#define LATER_LOWER                                                                                \
    "\\x{560}\\x{588}-\\x{10ff}\\x{1c8a}\\x{2c5f}\\x{a7af}\\x{a7b9}-\\x{a7f6}\\x{ab66}-\\x{ab69}"
#define LATER_NUMBERS                                                                              \
    "\\x{d58}-\\x{d5e}\\x{d76}-\\x{d78}\\x{3007}\\x{3021}-\\x{3029}\\x{3038}-\\x{303a}"
#define LATER_CURRENCIES "\\x{7fe}\\x{7ff}\\x{20be}-\\x{20cf}"
#define MARKS                                                                                      \
    "\\x{93c}\\x{94d}\\x{9bc}\\x{9cd}\\x{a3c}\\x{a4d}\\x{abc}\\x{acd}\\x{afd}-\\x{aff}"            \
    "\\x{b3c}\\x{b4d}\\x{bcd}\\x{c4d}\\x{cbc}\\x{ccd}\\x{d3b}-\\x{d3c}\\x{d4d}\\x{dca}"            \
    "\\x{eba}\\x{1039}\\x{135f}\\x{1714}\\x{1bab}\\x{1c37}\\x{25cc}\\x{a8c4}"                      \
    "\\x{a8f3}-\\x{a8f4}\\x{a953}\\x{aaf6}"

#define LETTER_OR(more) "(?:(?![" CJK LATER_LETTERS HIGH "])[\\p{Alphabetic}" more "])"
#define ALPHA LETTER_OR(MARKS)
#define NUMBER "(?:(?![" LATER_NUMBERS HIGH "])\\p{N})"
#define DIGIT "(?:(?![" HIGH "])\\p{Nd})"
#define NO(what) "(?:(?!" what ")(?s:.))"
/* This is a single class, so repeating it takes no stack. Only PCRE2 takes U+180E for white
 * space. */
#define SPACE                                                                                      \
    "[\\x{09}-\\x{0d}\\x{1c}-\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"                    \
    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}]"

static const Rule clean_rules[] = {
    {SPACE "+", " "},
    {"[\\x{00}-\\x{1f}]", ""},
};

static const Rule special_rules[] = {
    {"((?!" ALPHA "|" DIGIT ")(?:[^\\s.'`,\\-]|\\x{180e}))", " $1 "},
};

/* Commas stay inside numbers. */
static const Rule comma_rules[] = {
    {"(" NO(NUMBER) "),", "$1 , "},
    {",(" NO(NUMBER) ")", " , $1"},
    {"(" NUMBER "),$", "$1 , "},
};

static const Rule english_apostrophes[] = {
    {"(" NO(ALPHA) ")'(" NO(ALPHA) ")", "$1 ' $2"},
    {"(" NO(ALPHA "|" NUMBER) ")'(" ALPHA ")", "$1 ' $2"},
    {"(" ALPHA ")'(" NO(ALPHA) ")", "$1 ' $2"},
    {"(" ALPHA ")'(" ALPHA ")", "$1 '$2"},
    {"(" NUMBER ")'(s)", "$1 '$2"},
};

static const Rule other_apostrophes[] = {{"'", " ' "}};

static const Rule end_rules[] = {
    {SPACE "+", " "},
    {"\\.' ?$", " . ' "},
    {" +", " "},
};

static const Rule punctuation_rules[] = {
    {"\\r", ""},
    {"\\(", " ("},
    {"\\)", ") "},
    {" +", " "},
    {"\\) ([.!:?;,])", ")$1"},
    {"\\( ", "("},
    {" \\)", ")"},
    {"(\\d) %", "$1%"},
    {" :", ":"},
    {" ;", ";"},
    {"`", "'"},
    {"''", " \" "},
    {"„", "\""},
    {"“", "\""},
    {"”", "\""},
    {"–", "-"},
    {"—", " - "},
    {" +", " "},
    {"´", "'"},
    {"([a-zA-Z])‘([a-zA-Z])", "$1'$2"},
    {"([a-zA-Z])’([a-zA-Z])", "$1'$2"},
    {"‘", "'"},
    {"‚", "'"},
    {"’", "'"},
    {"''", "\""},
    {"´´", "\""},
    {"…", "..."},
    {"\\x{a0}«\\x{a0}", "\""},
    {"«\\x{a0}", "\""},
    {"«", "\""},
    {"\\x{a0}»\\x{a0}", "\""},
    {"\\x{a0}»", "\""},
    {"»", "\""},
    {"\\x{a0}%", "%"},
    {"nº\\x{a0}", "nº "},
    {"\\x{a0}:", ":"},
    {"\\x{a0}ºC", " ºC"},
    {"\\x{a0}cm", " cm"},
    {"\\x{a0}\\?", "?"},
    {"\\x{a0}!", "!"},
    {"\\x{a0};", ";"},
    {",\\x{a0}", ", "},
    {" +", " "},
};

static const Rule english_punctuation[] = {
    {"\"([,.]+)", "$1\""},
    {"(\\d)\\x{a0}(\\d)", "$1.$2"},
};

/* The second rule tries a run of dots only from its first dot, or from the end of the last match.
 * This gives the same matches as a plain (\.+), in linear time. */
static const Rule german_punctuation[] = {
    {",\"", "\","},
    {"(?:\\G|(?<!\\.))(\\.++)\"(" SPACE "*[^<])", "\"$1$2"},
    {"(\\d)\\x{a0}(\\d)", "$1,$2"},
};

static const Rule other_punctuation[] = {{"(\\d)\\x{a0}(\\d)", "$1.$2"}};

static const Rule detokenize_rules[] = {
    {" @-@ ", "-"},  {"&bar;", "|"}, {"&#124;", "|"}, {"&lt;", "<"},
    {"&gt;", ">"},   {"&bra;", "["}, {"&ket;", "]"},  {"&quot;", "\""},
    {"&apos;", "'"}, {"&#91;", "["}, {"&#93;", "]"},  {"&amp;", "&"},
};

static const Rule join_rules[] = {{" {2,}", " "}};

/* Properties of a token. The tokeniser uses the first two, the detokeniser the others. */
enum { HAS_ALPHA, LOWER, CURRENCY, PUNCTUATION, CONTRACTION, QUOTE, CURLY_QUOTE, CLASS_COUNT };
static const char *const class_patterns[CLASS_COUNT] = {
    [HAS_ALPHA] = ALPHA,
    [LOWER] = "^(?![" LATER_LOWER HIGH "])\\p{Lowercase}",
    [CURRENCY] = "^(?:(?![" LATER_CURRENCIES HIGH "])[\\p{Sc}(\\[{¿¡])+$",
    [PUNCTUATION] = "^[,.?!:;\\\\%}\\])]+$",
    [CONTRACTION] = "^'" LETTER_OR(""),
    [QUOTE] = "^['\"„“`]+$",
    [CURLY_QUOTE] = "^[„“”]+$",
};

/* ---- Compiled ------------------------------------------------------------------------------- */

typedef struct RuleList {
    const Rule *rules;
    size_t count;
    pcre2_code **codes; /* [count] */
} RuleList;

enum {
    CLEAN,
    SPECIAL,
    COMMA,
    APOSTROPHE,
    END,
    PUNCT,
    PUNCT_LANGUAGE,
    DETOKENIZE,
    JOIN,
    LIST_COUNT
};

struct MegaMoses {
    char language[8];
    RuleList lists[LIST_COUNT];
    pcre2_code *classes[CLASS_COUNT];
};

static pcre2_code *compile(const char *pattern, MegaError *err)
{
    int number;
    size_t offset;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &number, &offset, NULL);
    if (code)
        pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* if this fails, matching is merely slower */
    else
        mega_fail(err, MEGA_ERR_MEMORY, "no memory for the rules of the tokeniser");
    return code;
}

static int compile_list(RuleList *list, const Rule *rules, size_t count, MegaError *err)
{
    *list = (RuleList){rules, count, calloc(count, sizeof(pcre2_code *))};
    if (!list->codes)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the rules of the tokeniser");
    for (size_t i = 0; i < count; i++)
        if (!(list->codes[i] = compile(rules[i].pattern, err)))
            return MEGA_ERR_MEMORY;
    return 0;
}

#define LIST(rules) rules, sizeof(rules) / sizeof((rules)[0])

int mega_moses_new(MegaMoses **out, const char *language, MegaError *err)
{
    bool english = strcmp(language, "en") == 0, german = strcmp(language, "de") == 0;
    const struct {
        const Rule *rules;
        size_t count;
    } lists[LIST_COUNT] = {
        [CLEAN] = {LIST(clean_rules)},
        [SPECIAL] = {LIST(special_rules)},
        [COMMA] = {LIST(comma_rules)},
        [APOSTROPHE] = {english ? english_apostrophes : other_apostrophes,
                        english ? sizeof english_apostrophes / sizeof(Rule) : 1},
        [END] = {LIST(end_rules)},
        [PUNCT] = {LIST(punctuation_rules)},
        [PUNCT_LANGUAGE] = {english  ? english_punctuation
                            : german ? german_punctuation
                                     : other_punctuation,
                            english  ? sizeof english_punctuation / sizeof(Rule)
                            : german ? sizeof german_punctuation / sizeof(Rule)
                                     : 1},
        [DETOKENIZE] = {LIST(detokenize_rules)},
        [JOIN] = {LIST(join_rules)},
    };
    int code = 0;
    *out = NULL;
    MegaMoses *moses = calloc(1, sizeof *moses);
    if (!moses)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a tokeniser");
    strncpy(moses->language, language, sizeof moses->language - 1);
    for (int i = 0; i < LIST_COUNT && !code; i++)
        code = compile_list(&moses->lists[i], lists[i].rules, lists[i].count, err);
    for (int i = 0; i < CLASS_COUNT && !code; i++)
        if (!(moses->classes[i] = compile(class_patterns[i], err)))
            code = MEGA_ERR_MEMORY;
    if (code)
        mega_moses_free(moses);
    else
        *out = moses;
    return code;
}

void mega_moses_free(MegaMoses *moses)
{
    if (!moses)
        return;
    for (int i = 0; i < LIST_COUNT; i++) {
        for (size_t j = 0; moses->lists[i].codes && j < moses->lists[i].count; j++)
            pcre2_code_free(moses->lists[i].codes[j]);
        free(moses->lists[i].codes);
    }
    for (int i = 0; i < CLASS_COUNT; i++)
        pcre2_code_free(moses->classes[i]);
    free(moses);
}

/* ---- Substitution --------------------------------------------------------------------------- */

static int failed(MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory to tokenise a text");
}

/* Replaces all matches in *text. */
static int substitute(const pcre2_code *code, const char *replacement, MegaBuffer *text,
                      MegaError *err)
{
    MegaBuffer result = {.capacity = text->size + text->size / 2 + 64};
    for (int attempt = 0; attempt < 2; attempt++) {
        size_t length = result.capacity;
        result.data = malloc(result.capacity);
        if (!result.data)
            return failed(err);
        int count = pcre2_substitute(
            code, (PCRE2_SPTR)(text->data ? text->data : result.data), text->size, 0,
            PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH | PCRE2_NO_UTF_CHECK, NULL,
            NULL, (PCRE2_SPTR)replacement, PCRE2_ZERO_TERMINATED, result.data, &length);
        if (count >= 0) {
            result.size = length;
            mega_buffer_free(text);
            *text = result;
            return 0;
        }
        free(result.data);
        if (count != PCRE2_ERROR_NOMEMORY)
            break;
        result.capacity = length + 1;
    }
    return failed(err);
}

static int apply(const MegaMoses *moses, int list, MegaBuffer *text, MegaError *err)
{
    int code = 0;
    for (size_t i = 0; i < moses->lists[list].count && !code; i++)
        code = substitute(moses->lists[list].codes[i], moses->lists[list].rules[i].replacement,
                          text, err);
    return code;
}

/* Returns a copy of text without white space at its ends. */
static MegaBuffer trimmed(const char *text, size_t size)
{
    MegaBuffer copy = {0};
    mega_utf8_trim(&text, &size);
    mega_put_bytes(&copy, text, size);
    return copy;
}

static int trim(MegaBuffer *text, MegaError *err)
{
    MegaBuffer copy = trimmed((const char *)text->data, text->size);
    mega_buffer_free(text);
    *text = copy;
    return copy.failed ? failed(err) : 0;
}

/* Appends and frees *text. */
static int finish(int code, MegaBuffer *text, MegaBuffer *out, MegaError *err)
{
    if (!code) {
        mega_put_bytes(out, text->data, text->size);
        if (out->failed)
            code = failed(err);
    }
    mega_buffer_free(text);
    return code;
}

/* Makes a copy to work on. The rules skip PCRE2's check of UTF-8, which would run once per rule. */
static int begin(MegaBuffer *work, const char *text, size_t size, MegaError *err)
{
    if (!mega_utf8_valid(text, size))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a text to tokenise is not UTF-8");
    mega_put_bytes(work, text, size);
    return work->failed ? failed(err) : 0;
}

int mega_moses_normalize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                         MegaError *err)
{
    MegaBuffer work = {0};
    int code = begin(&work, text, size, err);
    if (!code)
        code = apply(moses, PUNCT, &work, err);
    if (!code)
        code = apply(moses, PUNCT_LANGUAGE, &work, err);
    if (!code)
        code = trim(&work, err);
    return finish(code, &work, out, err);
}

/* ---- Tokenising ----------------------------------------------------------------------------- */

/* Hides a run of k > 1 dots from the rules by writing it as k times "DOT" and "MULTI". */
static int hide_dots(MegaBuffer *text, MegaError *err)
{
    MegaBuffer result = {0};
    const uint8_t *s = text->data;
    for (size_t i = 0, run; i < text->size; i += run) {
        for (run = 0; i + run < text->size && s[i + run] == '.'; run++)
            ;
        if (run < 2) {
            run = 1;
            mega_put_u8(&result, s[i]);
            continue;
        }
        mega_put_u8(&result, ' ');
        for (size_t k = 0; k < run; k++)
            mega_put_bytes(&result, "DOT", 3);
        mega_put_bytes(&result, "MULTI", 5);
        if (i + run < text->size)
            mega_put_u8(&result, ' ');
    }
    bool bad = result.failed;
    mega_buffer_free(text);
    *text = result;
    return bad ? failed(err) : 0;
}

/* Returns whether "DOT" is at i. */
static bool dot_at(const MegaBuffer *text, size_t i)
{
    return i + 3 <= text->size && memcmp(text->data + i, "DOT", 3) == 0;
}

static int show_dots(MegaBuffer *text, MegaError *err)
{
    MegaBuffer result = {0};
    for (size_t i = 0; i < text->size;) {
        size_t run = 0;
        while (dot_at(text, i + 3 * run))
            run++;
        size_t end = i + 3 * run;
        bool marker = run && end + 5 <= text->size && memcmp(text->data + end, "MULTI", 5) == 0;
        for (size_t k = 0; k < run; k++)
            mega_put_bytes(&result, marker ? "." : "DOT", marker ? 1 : 3);
        if (run == 0)
            mega_put_u8(&result, text->data[i++]);
        else
            i = end + (marker ? 5 : 0);
    }
    bool bad = result.failed;
    mega_buffer_free(text);
    *text = result;
    return bad ? failed(err) : 0;
}

static bool matches(const pcre2_code *code, const char *text, size_t size)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool found =
        data && pcre2_match(code, (PCRE2_SPTR)text, size, 0, PCRE2_NO_UTF_CHECK, data, NULL) >= 0;
    pcre2_match_data_free(data);
    return found;
}

static bool is(const MegaMoses *moses, int class, const char *text, size_t size)
{
    return matches(moses->classes[class], text, size);
}

/* Returns whether the full stop after `prefix` stays with it. `next` is the following word, if
 * any. */
static bool keeps_stop(const MegaMoses *moses, const char *prefix, size_t length, const char *next,
                       size_t next_length)
{
    if (memchr(prefix, '.', length) && is(moses, HAS_ALPHA, prefix, length))
        return true;
    if (mega_moses_is_prefix(moses->language, prefix, length))
        return true;
    if (next_length && is(moses, LOWER, next, next_length))
        return true;
    return next_length && next[0] >= '0' && next[0] <= '9' &&
           mega_moses_is_numeric_prefix(moses->language, prefix, length);
}

/* Separates the final full stop from every word except abbreviations, and leaves one blank between
 * words. */
static int cut_stops(const MegaMoses *moses, MegaBuffer *text, MegaError *err)
{
    MegaBuffer result = {0};
    const char *at = (const char *)text->data, *end = at + text->size, *word, *next;
    size_t length, next_length;
    bool more = mega_utf8_next_word(&at, end, &word, &length);
    while (more) {
        bool last = !mega_utf8_next_word(&at, end, &next, &next_length);
        bool stop = length > 1 && word[length - 1] == '.';
        if (last)
            next_length = 0;
        if (result.size)
            mega_put_u8(&result, ' ');
        if (stop && !keeps_stop(moses, word, length - 1, next, next_length)) {
            mega_put_bytes(&result, word, length - 1);
            mega_put_bytes(&result, " .", 2);
        } else {
            mega_put_bytes(&result, word, length);
        }
        word = next;
        length = next_length;
        more = !last;
    }
    bool bad = result.failed;
    mega_buffer_free(text);
    *text = result;
    return bad ? failed(err) : 0;
}

int mega_moses_tokenize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                        MegaError *err)
{
    MegaBuffer work = {0};
    int code = begin(&work, text, size, err);
    if (!code)
        code = apply(moses, CLEAN, &work, err);
    if (!code)
        code = trim(&work, err);
    if (!code)
        code = apply(moses, SPECIAL, &work, err);
    if (!code)
        code = hide_dots(&work, err);
    if (!code)
        code = apply(moses, COMMA, &work, err);
    if (!code)
        code = apply(moses, APOSTROPHE, &work, err);
    if (!code)
        code = cut_stops(moses, &work, err);
    if (!code)
        code = apply(moses, END, &work, err);
    if (!code)
        code = show_dots(&work, err);
    if (!code)
        code = trim(&work, err);
    return finish(code, &work, out, err);
}

/* ---- Joining -------------------------------------------------------------------------------- */

static bool is_cjk(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x1100, 0x11ff},   {0x2e80, 0xa4cf},   {0xa840, 0xa87f},   {0xac00, 0xd7af},
        {0xf900, 0xfaff},   {0xfe30, 0xfe4f},   {0xff65, 0xffdc},   {0x17000, 0x18aff},
        {0x1b000, 0x1b12f}, {0x1b170, 0x1b2ff}, {0x20000, 0x2ffff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

static bool first_is_cjk(const char *word, size_t length)
{
    uint32_t code = 0;
    mega_utf8_decode(word, length, &code);
    return is_cjk(code);
}

static bool last_is_cjk(const char *word, size_t length)
{
    size_t begin = length;
    while (begin > 0 && ((uint8_t)word[--begin] & 0xc0) == 0x80)
        ;
    return first_is_cjk(word + begin, length - begin);
}

/* A kind of quotation mark, which is a token of quotation marks only, and whether it is open. */
typedef struct Quote {
    const char *text;
    size_t length;
    bool open;
} Quote;

typedef struct Joiner {
    const MegaMoses *moses;
    MegaBuffer *out;
    bool blank; /* a blank comes before the next token */
    const char *previous;
    size_t previous_length; /* 0 before the first token */
    void *quotes;           /* a tree of <search.h>, since a text may have any number of kinds */
    bool failed;
} Joiner;

static void put_token(Joiner *joiner, const char *word, size_t length, bool before, bool after)
{
    if (before)
        mega_put_u8(joiner->out, ' ');
    mega_put_bytes(joiner->out, word, length);
    joiner->blank = after;
}

static int compare_quotes(const void *a, const void *b)
{
    const Quote *left = a, *right = b;
    if (left->length != right->length)
        return left->length < right->length ? -1 : 1;
    return memcmp(left->text, right->text, left->length);
}

static Quote *find_quote(Joiner *joiner, const char *word, size_t length)
{
    Quote key = {word, length, false};
    if (is(joiner->moses, CURLY_QUOTE, word, length))
        key = (Quote){"\"", 1, false};
    Quote **found = tfind(&key, &joiner->quotes, compare_quotes);
    if (found)
        return *found;
    Quote *quote = malloc(sizeof *quote);
    if (quote)
        *quote = key;
    if (!quote || !tsearch(quote, &joiner->quotes, compare_quotes)) {
        free(quote);
        joiner->failed = true;
        return NULL;
    }
    return quote;
}

static void join_quote(Joiner *joiner, const char *word, size_t length)
{
    Quote *quote = find_quote(joiner, word, length);
    bool possessive = strcmp(joiner->moses->language, "en") == 0 && length == 1 &&
                      word[0] == '\'' && joiner->previous_length > 0 &&
                      joiner->previous[joiner->previous_length - 1] == 's';
    if (!quote)
        return;
    if (!quote->open && possessive) { /* as in: the Jones' house */
        put_token(joiner, word, length, false, true);
        return;
    }
    put_token(joiner, word, length, !quote->open && joiner->blank, quote->open);
    quote->open = !quote->open;
}

static void join_token(Joiner *joiner, const char *word, size_t length)
{
    const MegaMoses *moses = joiner->moses;
    bool first = joiner->previous_length == 0;
    if (first_is_cjk(word, length) && strcmp(moses->language, "ko") != 0) {
        bool follows = !first && last_is_cjk(joiner->previous, joiner->previous_length);
        put_token(joiner, word, length, !follows && joiner->blank, true);
    } else if (is(moses, CURRENCY, word, length)) {
        put_token(joiner, word, length, joiner->blank, false);
    } else if (is(moses, PUNCTUATION, word, length)) {
        put_token(joiner, word, length, false, true);
    } else if (strcmp(moses->language, "en") == 0 && !first &&
               is(moses, CONTRACTION, word, length)) {
        put_token(joiner, word, length, false, true);
    } else if (is(moses, QUOTE, word, length)) {
        join_quote(joiner, word, length);
    } else {
        put_token(joiner, word, length, joiner->blank, true);
    }
}

int mega_moses_detokenize(const MegaMoses *moses, const char *text, size_t size, MegaBuffer *out,
                          MegaError *err)
{
    MegaBuffer work = {0}, joined = {0};
    Joiner joiner = {.moses = moses, .out = &joined, .blank = true};
    if (!mega_utf8_valid(text, size))
        return mega_fail(err, MEGA_ERR_ARGUMENT, "a text to join is not UTF-8");
    if (size == 0) /* text may be NULL */
        return 0;
    const char *at = text, *end = text + size, *word;
    mega_put_u8(&work, ' ');
    for (size_t length; mega_utf8_next_word(&at, end, &word, &length); mega_put_u8(&work, ' '))
        mega_put_bytes(&work, word, length);
    int code = work.failed ? failed(err) : apply(moses, DETOKENIZE, &work, err);
    at = (const char *)work.data;
    end = at + work.size;
    for (size_t length; !code && mega_utf8_next_word(&at, end, &word, &length);) {
        join_token(&joiner, word, length);
        joiner.previous = word;
        joiner.previous_length = length;
    }
    if (!code && (joined.failed || joiner.failed))
        code = failed(err);
    if (!code)
        code = apply(moses, JOIN, &joined, err);
    if (!code)
        code = trim(&joined, err);
    tdestroy(joiner.quotes, free);
    mega_buffer_free(&work);
    return finish(code, &joined, out, err);
}
