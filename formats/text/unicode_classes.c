/*
 * unicode_classes.c - see unicode_classes.h. PCRE2 finds the runs of each class in a text of all
 * characters. Characters newer than Unicode 14.0 are then removed.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "formats/text/unicode_classes.h"

#include <pcre2.h>
#include <stdlib.h>

#include "formats/base/bytes.h"

#define FIRST_SURROGATE 0xd800
#define LAST_SURROGATE 0xdfff
#define FIRST_SELECTOR 0xe0100 /* variation selectors, the only marks above the table */
#define LAST_SELECTOR 0xe01ef
#define LAST_IDEOGRAPH 0x323af /* end of the block of letters at the table's end, in 15.0 */

typedef struct Range {
    uint32_t first, last;
} Range;

/* The letters, numbers, marks and connectors that Unicode 15.0 to 18.0 added. Some ranges span
 * gaps, which were empty in 14.0. */
static const Range later[] = {
    {0x558, 0x558},     {0x58b, 0x58c},     {0x5c8, 0x5c9},     {0x88f, 0x88f},
    {0x897, 0x897},     {0xb53, 0xb54},     {0xc5c, 0xc5c},     {0xcdc, 0xcdc},
    {0xcf3, 0xcf3},     {0xece, 0xece},     {0x1acf, 0x1af0},   {0x1c89, 0x1c8a},
    {0x208f, 0x208f},   {0x209d, 0x209f},   {0xa7cb, 0xa7cf},   {0xa7d2, 0xa7d2},
    {0xa7d4, 0xa7d4},   {0xa7da, 0xa7f1},   {0xab6c, 0xab6d},   {0x105c0, 0x105f3},
    {0x107bb, 0x107bf}, {0x10940, 0x10959}, {0x10d40, 0x10d85}, {0x10ec2, 0x10eff},
    {0x1123f, 0x11241}, {0x11380, 0x113e2}, {0x116d0, 0x116e3}, {0x11b0a, 0x11bf9},
    {0x11db0, 0x11df1}, {0x11f00, 0x11f5a}, {0x1246f, 0x1246f}, {0x12475, 0x1247f},
    {0x12550, 0x12686}, {0x1342f, 0x1342f}, {0x13440, 0x143fa}, {0x16100, 0x16139},
    {0x16d40, 0x16d79}, {0x16ea0, 0x16ed3}, {0x16ff2, 0x16ff6}, {0x187f8, 0x187ff},
    {0x18cd6, 0x18cff}, {0x18d09, 0x191d2}, {0x1b123, 0x1b132}, {0x1b155, 0x1b155},
    {0x1b168, 0x1b168}, {0x1ccf0, 0x1ccf9}, {0x1d127, 0x1d128}, {0x1d250, 0x1d2d3},
    {0x1d6a6, 0x1d6a6}, {0x1df1f, 0x1dfff}, {0x1e030, 0x1e08f}, {0x1e4d0, 0x1e6ff},
    {0x2b739, 0x2b73f}, {0x2b81e, 0x2b81e}, {0x2cea2, 0x2cead}, {0x2ebf0, 0x2ee5d},
    {0x31350, 0x313ff},
};

/* Those of them that continue a word. Words follow Unicode 15.0, because the reference finds them
 * with another library than the one that cuts its texts. */
static const Range later_words[] = {
    {0xcf3, 0xcf3},     {0xece, 0xece},     {0x10efd, 0x10eff},
    {0x1123f, 0x11241}, {0x11f00, 0x11f10}, {0x11f12, 0x11f3a},
    {0x11f3e, 0x11f42}, {0x11f50, 0x11f59}, {0x1342f, 0x1342f},
    {0x13440, 0x13455}, {0x1b132, 0x1b132}, {0x1b155, 0x1b155},
    {0x1df25, 0x1df2a}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f},
    {0x1e4d0, 0x1e4f9}, {0x2b739, 0x2b739}, {0x31350, MEGA_CLASSES_SIZE - 1},
};

static void put_character(MegaBuffer *out, uint32_t code)
{
    if (code < 0x80) {
        mega_put_u8(out, (uint8_t)code);
        return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t marker[] = {0, 0xc0, 0xe0, 0xf0};
    mega_put_u8(out, (uint8_t)(marker[more] | code >> 6 * more));
    for (int i = more - 1; i >= 0; i--)
        mega_put_u8(out, (uint8_t)(0x80 | (code >> 6 * i & 0x3f)));
}

/* Sets a class for the characters of a run. */
static void mark_run(MegaUnicodeClasses *classes, const uint8_t *run, size_t size, unsigned class)
{
    uint32_t code;
    for (size_t length; size > 0; run += length, size -= length) {
        length = mega_utf8_decode(run, size, &code);
        classes->of[code] |= (uint8_t) class;
    }
}

static int find_class(MegaUnicodeClasses *classes, const MegaBuffer *all, const char *pattern,
                      unsigned class, MegaError *err)
{
    int number, code = 0, found;
    PCRE2_SIZE where, at = 0;
    pcre2_code *regex =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &number, &where, NULL);
    pcre2_match_data *match = regex ? pcre2_match_data_create(1, NULL) : NULL;
    if (!match)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the classes of characters");
    else
        pcre2_jit_compile(regex, PCRE2_JIT_COMPLETE); /* this only makes it faster */
    while (!code && (found = pcre2_match(regex, all->data, all->size, at, PCRE2_NO_UTF_CHECK, match,
                                         NULL)) != PCRE2_ERROR_NOMATCH) {
        if (found < 0) {
            code = mega_fail(err, MEGA_ERR_MEMORY,
                             "the classes of characters cannot be found: PCRE2 error %d", found);
            break;
        }
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(match);
        mark_run(classes, all->data + ends[0], ends[1] - ends[0], class);
        at = ends[1];
    }
    pcre2_match_data_free(match);
    pcre2_code_free(regex);
    return code;
}

int mega_unicode_classes_new(MegaUnicodeClasses **out, MegaError *err)
{
    static const struct {
        const char *pattern;
        unsigned class;
    } rows[] = {
        {"\\p{L}+", MEGA_CLASS_LETTER},
        {"\\p{N}+", MEGA_CLASS_NUMBER},
        {"[\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"
         "\\x{202f}\\x{205f}\\x{3000}]+",
         MEGA_CLASS_WHITE},
        {"[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}]+", MEGA_CLASS_WORD},
    };
    MegaBuffer all = {0};
    int code = 0;
    *out = NULL;
    for (uint32_t c = 0; c < MEGA_CLASSES_SIZE; c++)
        if (c < FIRST_SURROGATE || c > LAST_SURROGATE)
            put_character(&all, c);
    MegaUnicodeClasses *classes = calloc(1, sizeof *classes);
    if (!classes || all.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the classes of characters");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && !code; i++)
        code = find_class(classes, &all, rows[i].pattern, rows[i].class, err);
    for (size_t i = 0; i < sizeof later / sizeof later[0] && !code; i++)
        for (uint32_t c = later[i].first; c <= later[i].last; c++)
            classes->of[c] = MEGA_CLASS_OTHER;
    for (size_t i = 0; i < sizeof later_words / sizeof later_words[0] && !code; i++)
        for (uint32_t c = later_words[i].first; c <= later_words[i].last; c++)
            classes->of[c] = MEGA_CLASS_WORD;
    mega_buffer_free(&all);
    if (code)
        free(classes);
    else
        *out = classes;
    return code;
}

bool mega_unicode_is_word(const MegaUnicodeClasses *classes, uint32_t code)
{
    if (code < MEGA_CLASSES_SIZE)
        return classes->of[code] & MEGA_CLASS_WORD;
    return code <= LAST_IDEOGRAPH || (code >= FIRST_SELECTOR && code <= LAST_SELECTOR);
}
