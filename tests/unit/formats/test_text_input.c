/*
 * test_text_input.c - texts from outside, whole and line by line: byte order marks, line ends,
 * encodings, and where a text is not UTF-8.
 */
#define _GNU_SOURCE /* memmem */
#include "tests/unit/support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/sniff.h"
#include "formats/text/text_input.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"

#define MARK "\xef\xbb\xbf"
#define BLOCK 65536 /* the block size of lines.c */

static char warning[600];

/* lines.c reports its warnings here; in the commands, the function prints them. */
void report(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(warning, sizeof warning, format, args);
    va_end(args);
}

static int clean(const char *text, size_t size, const MegaTextRules *rules, MegaBuffer *out,
                 MegaTextFlaw *flaw, MegaError *err)
{
    mega_put_bytes(out, text, size);
    return mega_text_clean(out, "in.txt", rules, flaw, err);
}

static void assert_clean(const char *text, size_t size, MegaTextRules rules, const char *expected)
{
    MegaBuffer out = {0};
    MegaError err = {0};
    if (clean(text, size, &rules, &out, NULL, &err))
        fail_msg("'%.40s': %s", text, err.text);
    if (out.size != strlen(expected) || (out.size && memcmp(out.data, expected, out.size) != 0))
        fail_msg("'%.40s' became '%.*s', expected '%s'", text, (int)out.size,
                 out.size ? (char *)out.data : "", expected);
    mega_buffer_free(&out);
}

#define CLEAN(text, expected, ...)                                                                 \
    assert_clean(text, sizeof text - 1, (MegaTextRules){.what = "a text", __VA_ARGS__}, expected)

static void marks_and_line_ends(void **state)
{
    (void)state;
    CLEAN("", "");
    CLEAN(MARK, "");
    CLEAN(MARK MARK "a", "a");
    CLEAN(MARK "a\r\nb\rc\nd", "a\nb\nc\nd");
    CLEAN("\r\n\r\n", "\n\n");
    CLEAN("\r\r\n\n\r", "\n\n\n\n");
    CLEAN("a\r", "a\n");
    CLEAN("\n\ra", "\n\na");
    /* In the middle, a mark may be a symbol of a dictionary, or come from concatenated files. */
    CLEAN("a\n" MARK " 3\nb" MARK, "a\n" MARK " 3\nb" MARK);
    CLEAN("a\n" MARK "b\r" MARK MARK "\n" MARK, "a\nb\n\n", .marks_inside = true);
    CLEAN("a\n b" MARK "c\n", "a\n b" MARK "c\n", .marks_inside = true);
    /* The beginning of a mark is not a mark. */
    CLEAN("\xef\xbb", "\xef\xbb", .bytes = MEGA_TEXT_REPAIRED);
    CLEAN("a\r\nb\rc\n", "a\r\nb\rc\n", .keep_cr = true);
    CLEAN(MARK "\xff\r\n\x80", "\xff\n\x80", .bytes = MEGA_TEXT_BINARY);
    CLEAN("/caf\xe9\r\n/b", "/caf\xe9\n/b", .bytes = MEGA_TEXT_PATHS);
    CLEAN("caf\xe9\r\n", "caf\xe9\n", .bytes = MEGA_TEXT_REPAIRED);
}

static void flaws_are_named(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        MegaTextBytes bytes;
        size_t line, byte;
        int value;
        const char *says;
    } cases[] = {
        {"caf\xe9\n", 5, MEGA_TEXT_ONLY_UTF8, 1, 4, 0xe9, "line 1 is not UTF-8 at byte 4 (0xe9)"},
        {MARK "a\r\nb\xc3(\n", 9, MEGA_TEXT_ONLY_UTF8, 2, 2, 0xc3, "line 2"},
        {"a\rb\rc\x80", 6, MEGA_TEXT_ONLY_UTF8, 3, 2, 0x80, "line 3"},
        {"a\n\nb\0c\n", 7, MEGA_TEXT_ONLY_UTF8, 3, 2, 0, "line 3 holds NUL at byte 2"},
        {"\xed\xa0\x80", 3, MEGA_TEXT_ONLY_UTF8, 1, 1, 0xed, "line 1"},
        {"abc\xf0\x9f", 5, MEGA_TEXT_ONLY_UTF8, 1, 4, 0xf0, "byte 4"},
        {"a/\xe9t\xe9/menu\nb\0/carte\0", 19, MEGA_TEXT_PATHS, 2, 2, 0,
         "line 2 holds NUL at byte 2"},
        {"a\n\xe9t\xe9 is \0summer", 16, MEGA_TEXT_REPAIRED, 2, 1, 0xe9, "it is read as U+FFFD"},
        {"hello\0world\n", 12, MEGA_TEXT_REPAIRED, 1, 6, 0, "it is read as U+FFFD"},
        {"a\0\xff", 3, MEGA_TEXT_BINARY, 0, 0, 0, NULL},
        {"gut \xc3\xbc\n", 7, MEGA_TEXT_REPAIRED, 0, 0, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const MegaTextRules rules = {.what = "a text", .bytes = cases[i].bytes};
        const bool error = cases[i].says && cases[i].bytes != MEGA_TEXT_REPAIRED;
        MegaBuffer out = {0};
        MegaTextFlaw flaw;
        MegaError err = {0};
        const int code = clean(cases[i].text, cases[i].size, &rules, &out, &flaw, &err);
        if (code != (error ? MEGA_ERR_FORMAT : 0) || flaw.line != cases[i].line)
            fail_msg("text %zu: line %zu, %s", i, flaw.line, err.text);
        assert_int_equal(flaw.byte, cases[i].byte);
        assert_int_equal(flaw.value, cases[i].value);
        if (cases[i].says)
            mega_text_fail_flaw(&flaw, "in.txt", &rules, &err);
        if (cases[i].says && (!strstr(err.text, cases[i].says) || !strstr(err.text, "in.txt")))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].says);
        mega_buffer_free(&out);
    }
}

/* ---- Encodings ------------------------------------------------------------------------------ */

static void put_unit(MegaBuffer *out, uint32_t unit, size_t size, bool big)
{
    for (size_t i = 0; i < size; i++)
        mega_put_u8(out, (uint8_t)(unit >> 8 * (big ? size - 1 - i : i)));
}

/* Encodes UTF-8 as UTF-16 or UTF-32, as iconv does. */
static void encode(const char *text, size_t unit, bool big, bool mark, MegaBuffer *out)
{
    uint32_t code = 0xfeff;
    if (mark)
        put_unit(out, code, unit, big);
    for (size_t length; *text; text += length) {
        length = mega_utf8_decode(text, strlen(text), &code);
        assert_true(length > 0);
        if (unit == 2 && code >= 0x10000) {
            put_unit(out, 0xd800 + ((code - 0x10000) >> 10), 2, big);
            code = 0xdc00 + (code & 0x3ff);
        }
        put_unit(out, code, unit, big);
    }
}

static void other_encodings_are_named(void **state)
{
    static const char *const texts[] = {"A man.\n",        "path\tlabel\r\na.wav\tyes\r\n",
                                        "Ümläut, ß\n",     "你好。\n再见。\n",
                                        "\U0001f600 ok\n", "Привет, мир\n"};
    (void)state;
    for (size_t i = 0; i < 8 * (sizeof texts / sizeof texts[0]); i++) {
        const char *text = texts[i / 8];
        const size_t unit = i & 1 ? 4 : 2;
        const bool big = i & 2, mark = i & 4;
        char name[16];
        MegaBuffer in = {0};
        MegaError err = {0};
        snprintf(name, sizeof name, "UTF-%zu%s", 8 * unit, mark ? "" : big ? "BE" : "LE");
        encode(text, unit, big, mark, &in);
        const char *got = mega_sniff_encoding(in.data, in.size, false);
        if (!got || strcmp(got, name) != 0)
            fail_msg("'%s' in %s is taken for %s", text, name, got ? got : "nothing");
        /* A truncated text is not taken for another encoding, and binary data needs more than a
         * mark. */
        for (size_t size = 0; size < in.size; size++) {
            const char *cut = mega_sniff_encoding(in.data, size, false);
            if (cut && size >= 4 && strncmp(cut, name, 6) != 0)
                fail_msg("'%s' in %s, %zu bytes of it, is taken for %s", text, name, size, cut);
        }
        assert_true(!mega_sniff_encoding(in.data, in.size, true) == !mark);
        for (int bytes = MEGA_TEXT_ONLY_UTF8; bytes <= MEGA_TEXT_PATHS; bytes++) {
            const MegaTextRules rules = {.what = "a text", .bytes = (MegaTextBytes)bytes};
            MegaBuffer copy = {0};
            mega_put_bytes(&copy, in.data, in.size);
            assert_int_equal(mega_text_clean(&copy, "in.txt", &rules, NULL, &err), MEGA_ERR_FORMAT);
            assert_non_null(strstr(err.text, name));
            assert_non_null(strstr(err.text, "iconv -f UTF-"));
            mega_buffer_free(&copy);
        }
        mega_buffer_free(&in);
    }
}

static void text_is_not_taken_for_another_encoding(void **state)
{
    static const struct {
        const char *text;
        size_t size;
    } texts[] = {{"", 0},
                 {"\0", 1},
                 {"a\0", 2},
                 {"Bush hid the facts", 18},
                 {"hello\0world\n", 12},
                 {"abcd\0\0\0\0", 8},
                 {MARK "a\0b", 6},
                 {"caf\xe9\n", 5},
                 {"caf\xe9 \0au lait\n", 14},
                 {"\xff\xfd a\n", 5},
                 {"你好", 6}};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *got = mega_sniff_encoding(texts[i].text, texts[i].size, false);
        if (got)
            fail_msg("text %zu is taken for %s", i, got);
    }
    /* Binary data may begin like a mark. */
    assert_null(mega_sniff_encoding("\xff\xfe x", 4, true));
    assert_null(mega_sniff_encoding("\xff\xfe\1\0\2\3", 6, true));
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static char path[2][32] = {"/tmp/mega-test-XXXXXX", "/tmp/mega-test-XXXXXX"};

static int make_files(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const int fd = mkstemp(path[i]);
        if (fd < 0 || close(fd))
            return -1;
    }
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    return unlink(path[0]) | unlink(path[1]);
}

static void write_file(int number, const char *text, size_t size)
{
    FILE *file = fopen(path[number], "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Reads all lines of `count` files, and puts a '|' after each. */
static int read_lines(int count, MegaTextRules rules, bool null, MegaBuffer *out, MegaError *err)
{
    char *paths[] = {path[0], path[1]};
    LineReader reader;
    size_t lines = 0;
    int more;
    rules.what = "lines of text";
    warning[0] = '\0';
    assert_int_equal(line_reader_begin(&reader, paths, count, &rules, err), 0);
    reader.null = null;
    while ((more = line_reader_next(&reader, err)) > 0) {
        assert_int_equal(reader.text[reader.size], '\0');
        mega_put_bytes(out, reader.text, reader.size);
        mega_put_u8(out, '|');
        lines++;
    }
    line_reader_end(&reader);
    if (!more && !null && lines)
        assert_int_equal(count_lines(paths, count, &rules), lines);
    return more;
}

static void assert_lines(int count, MegaTextRules rules, bool null, const char *expected)
{
    MegaBuffer out = {0};
    MegaError err = {0};
    if (read_lines(count, rules, null, &out, &err))
        fail_msg("%s", err.text);
    if (out.size != strlen(expected) ||
        memcmp(out.size ? (char *)out.data : "", expected, out.size))
        fail_msg("got '%.*s', expected '%s'", (int)out.size, out.size ? (char *)out.data : "",
                 expected);
    mega_buffer_free(&out);
}

static void lines_of_files(void **state)
{
    static const struct {
        const char *text, *lines;
        bool null;
    } cases[] = {
        {"", "", false},
        {MARK, "|", false},
        {"a\nb\n", "a|b|", false},
        {"a\r\n\r\nb", "a||b|", false},
        {"a\rb\r", "a|b|", false},
        {"\n\r\r\n", "|||", false},
        {MARK "a\n" MARK "b\r" MARK, "a|b||", false},
        {"a\nb|c\r", "a\nb|c\r|", true},
    };
    const MegaTextRules rules = {.marks_inside = true, .bytes = MEGA_TEXT_REPAIRED};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(0, cases[i].text, strlen(cases[i].text));
        assert_lines(1, rules, cases[i].null, cases[i].lines);
    }
    write_file(0, MARK "a\r", 5);
    write_file(1, "\n" MARK "b", 5); /* its line end is not part of the other file's line */
    assert_lines(2, rules, false, "a||b|");
    write_file(0, "a\0" MARK "b\0\nc", 9);
    assert_lines(1, rules, true, "a|b|\nc|");
    write_file(0, "\xff\r\n\xfe\rx\n", 7);
    assert_lines(1, (MegaTextRules){.bytes = MEGA_TEXT_BINARY}, false, "\xff|\xfe|x|");
    assert_lines(1, (MegaTextRules){.bytes = MEGA_TEXT_BINARY, .keep_cr = true}, false,
                 "\xff|\xfe\rx|");
}

/* Puts line ends and marks at all places around the end of a block. */
static void lines_across_blocks(void **state)
{
    static const char *const ends[] = {"\n", "\r", "\r\n", "\r\n" MARK, "\n" MARK, "\r\r\n"};
    const MegaTextRules rules = {.marks_inside = true};
    MegaBuffer text = {0}, expected = {0};
    (void)state;
    for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++) {
        for (size_t before = BLOCK - 6; before < BLOCK + 2; before++) {
            text.size = expected.size = 0;
            for (size_t i = 0; i < before; i++)
                mega_put_u8(&text, (uint8_t)('a' + i % 26));
            mega_put_bytes(&expected, text.data, text.size);
            mega_put_bytes(&text, ends[e], strlen(ends[e]));
            mega_put_bytes(&text, "last", 4);
            mega_put_bytes(&expected, e == 5 ? "||last|" : "|last|", e == 5 ? 8 : 7);
            write_file(0, (const char *)text.data, text.size);
            assert_lines(1, rules, false, (const char *)expected.data);
        }
    }
    mega_buffer_free(&text);
    mega_buffer_free(&expected);
}

/* A line is given as soon as its end is there, before the writer continues. */
static void lines_come_at_once(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        bool null;
    } cases[] = {{"a\n", 2, false}, {"a\r", 2, false}, {"a\0", 2, true}, {"\n", 1, false}};
    const MegaTextRules rules = {.what = "lines of text"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int ends[2];
        char name[32], *paths[] = {name};
        LineReader reader;
        MegaError err = {0};
        assert_int_equal(pipe(ends), 0);
        snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
        assert_int_equal(write(ends[1], cases[i].text, cases[i].size), cases[i].size);
        assert_int_equal(line_reader_begin(&reader, paths, 1, &rules, &err), 0);
        reader.null = cases[i].null;
        alarm(60); /* otherwise it would wait forever */
        assert_int_equal(line_reader_next(&reader, &err), 1);
        assert_int_equal(reader.size, cases[i].size - 1);
        close(ends[1]);
        assert_int_equal(line_reader_next(&reader, &err), 0);
        alarm(0);
        line_reader_end(&reader);
        close(ends[0]);
    }
}

static void flaws_of_lines(void **state)
{
    MegaBuffer out = {0};
    MegaError err = {0};
    (void)state;
    /* There is one warning per file, and reading continues. */
    write_file(0, "gut\ncaf\xe9\n\xe9t\xe9\n", 12);
    assert_lines(1, (MegaTextRules){.bytes = MEGA_TEXT_REPAIRED}, false, "gut|caf\xe9|\xe9t\xe9|");
    assert_non_null(strstr(warning, "line 2 is not UTF-8 at byte 4 (0xe9); it is read as U+FFFD"));
    assert_lines(1, (MegaTextRules){.bytes = MEGA_TEXT_PATHS}, false, "gut|caf\xe9|\xe9t\xe9|");
    assert_string_equal(warning, "");
    assert_int_equal(read_lines(1, (MegaTextRules){0}, false, &out, &err), MEGA_ERR_FORMAT);
    assert_memory_equal(out.data, "gut|", out.size);
    write_file(0, "a\nb\0c\n", 6);
    assert_int_equal(read_lines(1, (MegaTextRules){.bytes = MEGA_TEXT_PATHS}, false, &out, &err),
                     MEGA_ERR_FORMAT);
    assert_non_null(strstr(err.text, "line 2 holds NUL at byte 2"));
    write_file(0,
               "\xff\xfe"
               "a\0\n\0",
               6);
    assert_int_equal(read_lines(1, (MegaTextRules){.bytes = MEGA_TEXT_REPAIRED}, false, &out, &err),
                     MEGA_ERR_FORMAT);
    assert_non_null(strstr(err.text, "is UTF-16 text"));
    mega_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_and_line_ends),
        cmocka_unit_test(flaws_are_named),
        cmocka_unit_test(other_encodings_are_named),
        cmocka_unit_test(text_is_not_taken_for_another_encoding),
        cmocka_unit_test(lines_of_files),
        cmocka_unit_test(lines_across_blocks),
        cmocka_unit_test(flaws_of_lines),
        cmocka_unit_test(lines_come_at_once),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
