/*
 * unicode_classes.c - see unicode_classes.h. PCRE2 finds the runs of each class in a text of all
 * characters of a page. Characters newer than Unicode 14.0 are then removed.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "formats/text/unicode_classes.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/lock.h"
#include "src/base/utf8.h"

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

/* The characters among these that continue a word. Word boundaries follow Unicode 15.0, while the
 * cutting rules follow 14.0, because the reference uses a different library for each. */
static const Range later_words[] = {
    {0xcf3, 0xcf3},     {0xece, 0xece},     {0x10efd, 0x10eff},
    {0x1123f, 0x11241}, {0x11f00, 0x11f10}, {0x11f12, 0x11f3a},
    {0x11f3e, 0x11f42}, {0x11f50, 0x11f59}, {0x1342f, 0x1342f},
    {0x13440, 0x13455}, {0x1b132, 0x1b132}, {0x1b155, 0x1b155},
    {0x1df25, 0x1df2a}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f},
    {0x1e4d0, 0x1e4f9}, {0x2b739, 0x2b739}, {0x31350, MEGA_CLASSES_SIZE - 1},
};

/* ---- The patterns --------------------------------------------------------------------------- */

static const struct {
    const char *pattern;
    uint8_t class;
} rows[] = {
    {"\\p{L}+", MEGA_CLASS_LETTER},
    {"\\p{N}+", MEGA_CLASS_NUMBER},
    {"[\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"
     "\\x{202f}\\x{205f}\\x{3000}]+",
     MEGA_CLASS_WHITE},
    {"[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}]+", MEGA_CLASS_WORD},
};
#define ROWS (sizeof rows / sizeof rows[0])

typedef struct MegaClassPatterns {
    MegaLock lock; /* held while a page is filled */
    pcre2_code *regex[ROWS];
    pcre2_match_data *match;
} MegaClassPatterns;

static MegaClassPatterns *patterns_new(void)
{
    MegaClassPatterns *patterns = calloc(1, sizeof *patterns);
    int number;
    PCRE2_SIZE where;
    if (!patterns)
        return NULL;
    mega_lock_init(&patterns->lock);
    patterns->match = pcre2_match_data_create(1, NULL);
    for (size_t i = 0; i < ROWS; i++)
        patterns->regex[i] = pcre2_compile((PCRE2_SPTR)rows[i].pattern, PCRE2_ZERO_TERMINATED,
                                           PCRE2_UTF, &number, &where, NULL);
    return patterns;
}

static bool patterns_are_whole(const MegaClassPatterns *patterns)
{
    bool whole = patterns && patterns->match;
    for (size_t i = 0; i < ROWS && whole; i++)
        whole = patterns->regex[i];
    return whole;
}

static void patterns_free(MegaClassPatterns *patterns)
{
    if (!patterns)
        return;
    for (size_t i = 0; i < ROWS; i++)
        pcre2_code_free(patterns->regex[i]);
    pcre2_match_data_free(patterns->match);
    mega_lock_free(&patterns->lock);
    free(patterns);
}

/* ---- Pages ---------------------------------------------------------------------------------- */

/* Sets a class for the characters of a run. */
static void mark_run(uint8_t *of, const uint8_t *run, size_t size, uint8_t class)
{
    uint32_t code;
    for (size_t length; size > 0; run += length, size -= length) {
        length = mega_utf8_decode(run, size, &code);
        of[code] |= class;
    }
}

/* Finds the characters of one class. Returns false if memory runs out. */
static bool find_class(const MegaClassPatterns *patterns, size_t row, const uint8_t *text,
                       size_t size, uint8_t *of)
{
    PCRE2_SIZE at = 0;
    int found;
    while ((found = pcre2_match(patterns->regex[row], text, size, at, PCRE2_NO_UTF_CHECK,
                                patterns->match, NULL)) > 0) {
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(patterns->match);
        mark_run(of, text + ends[0], ends[1] - ends[0], rows[row].class);
        at = ends[1];
    }
    return found == PCRE2_ERROR_NOMATCH;
}

/* Gives the characters of some ranges in [first, first + MEGA_CLASSES_PAGE) a class. */
static void set_ranges(uint8_t *of, uint32_t first, const Range *ranges, size_t count,
                       uint8_t class)
{
    for (size_t i = 0; i < count; i++)
        for (uint32_t c = ranges[i].first > first ? ranges[i].first : first;
             c <= ranges[i].last && c < first + MEGA_CLASSES_PAGE; c++)
            of[c] = class;
}

/* Fills the page that begins at `first`. Returns false if memory runs out. */
static bool fill_page(const MegaUnicodeClasses *classes, uint32_t first)
{
    uint8_t text[4 * MEGA_CLASSES_PAGE];
    size_t size = 0;
    bool good = true;
    for (uint32_t c = first; c < first + MEGA_CLASSES_PAGE; c++)
        if (c < FIRST_SURROGATE || c > LAST_SURROGATE)
            size += mega_utf8_encode(c, text + size);
    for (size_t row = 0; row < ROWS && good; row++)
        good = find_class(classes->patterns, row, text, size, classes->of);
    set_ranges(classes->of, first, later, sizeof later / sizeof later[0], MEGA_CLASS_OTHER);
    set_ranges(classes->of, first, later_words, sizeof later_words / sizeof later_words[0],
               MEGA_CLASS_WORD);
    return good;
}

/* The memory that the library needs is there after the first page, so later ones cannot fail. */
void mega_unicode_classes_fill(const MegaUnicodeClasses *classes, uint32_t code)
{
    const uint32_t page = code / MEGA_CLASSES_PAGE;
    mega_lock(&classes->patterns->lock);
    if (!atomic_load(&classes->known[page]))
        fill_page(classes, page * MEGA_CLASSES_PAGE);
    atomic_store(&classes->known[page], true);
    mega_unlock(&classes->patterns->lock);
}

int mega_unicode_classes_new(MegaUnicodeClasses **out, MegaError *err)
{
    MegaUnicodeClasses *classes = calloc(1, sizeof *classes);
    bool good = classes;
    if (classes) {
        classes->of = calloc(MEGA_CLASSES_SIZE, sizeof *classes->of);
        classes->known = calloc(MEGA_CLASSES_SIZE / MEGA_CLASSES_PAGE, sizeof *classes->known);
        classes->patterns = patterns_new();
        good = classes->of && classes->known && patterns_are_whole(classes->patterns) &&
               fill_page(classes, 0);
    }
    *out = NULL;
    if (!good) {
        mega_unicode_classes_free(classes);
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the classes of characters");
    }
    atomic_store(&classes->known[0], true);
    *out = classes;
    return 0;
}

void mega_unicode_classes_free(MegaUnicodeClasses *classes)
{
    if (!classes)
        return;
    patterns_free(classes->patterns);
    free(classes->known);
    free(classes->of);
    free(classes);
}

bool mega_unicode_is_word(const MegaUnicodeClasses *classes, uint32_t code)
{
    if (code < MEGA_CLASSES_SIZE)
        return mega_unicode_flags(classes, code) & MEGA_CLASS_WORD;
    return code <= LAST_IDEOGRAPH || (code >= FIRST_SELECTOR && code <= LAST_SELECTOR);
}
