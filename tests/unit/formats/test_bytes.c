/*
 * test_bytes.c - the bounded reader, the buffer and UTF-8 (formats/base/bytes.h); files read whole
 * up to a limit (formats/base/input_stream.h).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"

static void test_round_trip(void **state)
{
    (void)state;
    MegaBuffer buffer = {0};
    mega_put_u8(&buffer, 0x12);
    mega_put_u16(&buffer, 0x3456);
    mega_put_u32(&buffer, 0x789abcde);
    mega_put_u64(&buffer, 0x0123456789abcdef);
    mega_put_f64(&buffer, -2.0);
    mega_put_bytes(&buffer, "xyz", 3);
    static const uint8_t expected[] = "\x12\x56\x34\xde\xbc\x9a\x78\xef\xcd\xab\x89\x67\x45\x23\x01"
                                      "\0\0\0\0\0\0\0\xc0xyz";
    assert_false(buffer.failed);
    assert_int_equal(buffer.size, sizeof expected - 1);
    assert_memory_equal(buffer.data, expected, buffer.size);

    MegaReader reader = mega_reader(buffer.data, buffer.size);
    assert_int_equal(mega_get_u8(&reader), 0x12);
    assert_int_equal(mega_get_u16(&reader), 0x3456);
    assert_int_equal(mega_get_u32(&reader), 0x789abcde);
    assert_true(mega_get_u64(&reader) == 0x0123456789abcdef);
    assert_true(mega_get_f64(&reader) == -2.0);
    assert_memory_equal(mega_get_bytes(&reader, 3), "xyz", 3);
    assert_false(reader.failed);
    assert_int_equal(mega_reader_left(&reader), 0);
    mega_buffer_free(&buffer);
    assert_null(buffer.data);
}

static void test_growth(void **state)
{
    (void)state;
    MegaBuffer buffer = {0};
    for (uint32_t i = 0; i < 100000; i++)
        mega_put_u32(&buffer, i);
    assert_int_equal(buffer.size, 400000);
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(mega_load_u32(buffer.data + 4 * (size_t)i), i);
    mega_buffer_free(&buffer);
}

static void test_reader_fails_for_good(void **state)
{
    (void)state;
    static const uint8_t data[7] = {1, 2, 3, 4, 5, 6, 7};
    MegaReader reader = mega_reader(data, sizeof data);
    assert_int_equal(mega_get_u32(&reader), 0x04030201);
    assert_int_equal(mega_get_u32(&reader), 0); /* three bytes are left */
    assert_true(reader.failed);
    assert_int_equal(reader.position, 4);
    assert_int_equal(mega_get_u8(&reader), 0); /* although one byte would fit */
    assert_int_equal(mega_reader_left(&reader), 0);
    assert_false(mega_reader_seek(&reader, 0));

    reader = mega_reader(data, sizeof data);
    assert_null(mega_get_bytes(&reader, UINT64_MAX));
    assert_true(reader.failed);

    reader = mega_reader(data, sizeof data);
    assert_true(mega_reader_seek(&reader, 7));
    assert_false(mega_reader_seek(&reader, 8));
    assert_true(reader.failed);

    reader = mega_reader(NULL, 0);
    assert_int_equal(mega_get_u8(&reader), 0);
    assert_true(reader.failed);
}

/* Every code point encodes and decodes. Bytes that no encoder makes are refused. */
static void test_utf8(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x110000; code++) {
        uint8_t text[4];
        size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        text[0] =
            (uint8_t)(length == 1 ? code : (0xf00 >> length & 0xff) | code >> 6 * (length - 1));
        for (size_t i = 1; i < length; i++)
            text[i] = (uint8_t)(0x80 | (code >> 6 * (length - 1 - i) & 0x3f));
        uint32_t found = UINT32_MAX;
        size_t expected = (code >= 0xd800 && code < 0xe000) || code > 0x10ffff ? 0 : length;
        assert_int_equal(mega_utf8_decode(text, length, &found), expected);
        if (expected)
            assert_int_equal(found, code);
        assert_int_equal(mega_utf8_decode(text, length - 1, NULL), 0); /* truncated */
    }
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xff",
                                      "a\xc3",
                                      "\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(mega_utf8_valid(bad[i], strlen(bad[i])));
    assert_true(mega_utf8_valid("", 0));
    assert_true(mega_utf8_valid("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    assert_false(mega_utf8_valid("a\0b", 3));
}

/* ---- Sources -------------------------------------------------------------------------------- */

static void test_source_limits(void **state)
{
    char path[] = "/tmp/mega-source-XXXXXX";
    MegaError err = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "12345678", 8), 8);
    for (uint64_t limit = 7; limit < 10; limit++) {
        MegaBuffer out = {0};
        int code = mega_source_read(&out, path, "a test", limit, &err);
        assert_int_equal(code, limit < 8 ? MEGA_ERR_LIMIT : 0);
        assert_true(limit < 8 || (out.size == 8 && memcmp(out.data, "12345678", 8) == 0));
        mega_buffer_free(&out);
    }
    assert_non_null(strstr(err.text, "larger than 7 bytes, the limit of a test"));
    close(fd);
    unlink(path);
}

static void test_source_errors(void **state)
{
    MegaBuffer out = {0};
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_source_read(&out, "/nowhere/at/all", "a test", 9, &err), MEGA_ERR_IO);
    assert_non_null(strstr(err.text, "cannot open /nowhere/at/all: No such file"));
    assert_int_equal(mega_source_read(&out, "tests", "a test", 9, &err), MEGA_ERR_IO);
    assert_non_null(strstr(err.text, "tests is a folder; expected a file"));
    int fd = open("/dev/null", O_WRONLY);
    assert_int_equal(mega_source_slurp(&out, fd, "a pipe", "a test", 9, &err), MEGA_ERR_IO);
    assert_non_null(strstr(err.text, "cannot read a pipe: Bad file descriptor"));
    close(fd);
    mega_buffer_free(&out);
}

/* Has a child write a text to a FIFO; opening it waits for the reader. */
static pid_t write_fifo(const char *path, const char *text)
{
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open(path, O_WRONLY);
        _exit(fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text));
    }
    assert_true(child > 0);
    return child;
}

static void expect_written(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void expect_peek(const char *path, const char *text)
{
    char bytes[8];
    size_t got;
    assert_int_equal(mega_source_peek(path, bytes, sizeof bytes, &got, NULL), 0);
    assert_int_equal(got, strlen(text));
    assert_memory_equal(bytes, text, got);
}

/* Each time that a FIFO is opened it gives what its next writer writes, whether the time before it
 * was opened after a look, or forgotten. */
static void test_pipe_is_read_anew(void **state)
{
    static const char *const texts[] = {"first", "refused", "last"};
    char folder[] = "/tmp/mega-fifo-XXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        MegaBuffer out = {0};
        const pid_t child = write_fifo(path, texts[i]);
        expect_peek(path, texts[i]);
        expect_peek(path, texts[i]);
        expect_written(child);
        if (i == 1) {
            mega_source_forget(path);
            continue;
        }
        assert_int_equal(mega_source_read(&out, path, "a test", 9, NULL), 0);
        assert_int_equal(out.size, strlen(texts[i]));
        assert_memory_equal(out.data, texts[i], out.size);
        mega_buffer_free(&out);
    }
    mega_source_forget(path); /* nothing is kept */
    unlink(path);
    rmdir(folder);
}

/* Standard input that was kept and opened is not read again: that would wait for a terminal. */
static void test_stdin_is_read_once(void **state)
{
    MegaBuffer out = {0};
    int ends[2];
    const int before = dup(STDIN_FILENO);
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "once", 4), 4);
    close(ends[1]);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    expect_peek("-", "once");
    assert_int_equal(mega_source_read(&out, "-", "a test", 9, NULL), 0);
    assert_int_equal(out.size, 4);
    assert_int_equal(dup2(before, STDIN_FILENO), STDIN_FILENO);
    expect_peek("-", "");
    close(ends[0]);
    close(before);
    mega_buffer_free(&out);
}

/* No character that controls a terminal is left, and no letter is lost. */
static void test_controls(void **state)
{
    static const char *const texts[][2] = {
        {"", ""},
        {"gr\xc3\xbcn \xe6\x97\xa5 \xf0\x9f\x98\x80 caf\xe9",
         "gr\xc3\xbcn \xe6\x97\xa5 \xf0\x9f\x98\x80 caf\xe9"},
        {"a\x1b[31m\r\n\t\x7f", "a?[31m????"},
        {"\xc2\x9b"
         "2J\xc2\x80\xc2\x9f\xc2\xa0",
         "?2J??\xc2\xa0"}, /* C1, and no-break space */
        {"\x9b"
         "2J\x80\x9f\xa0\xc2",
         "?2J??\xa0\xc2"}, /* Latin-1 */
        {"\xe2\x80\xae"
         "txt\xe2\x80\xac\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8",
         "?txt????"},
        {"\xe2\x80\x8b\xe2\x81\xa5\xef\xbb\xbf", "\xe2\x80\x8b\xe2\x81\xa5\xef\xbb\xbf"},
        {"\xe2\x80", "\xe2?"}, /* truncated */
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[64];
        MegaError err = {0};
        snprintf(text, sizeof text, "%s", texts[i][0]);
        mega_utf8_hide_controls(text);
        assert_string_equal(text, texts[i][1]);
        mega_fail(&err, MEGA_ERR_INPUT, "%s", texts[i][0]);
        assert_string_equal(err.text, texts[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_reader_fails_for_good),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_controls),
        cmocka_unit_test(test_source_limits),
        cmocka_unit_test(test_source_errors),
        cmocka_unit_test(test_pipe_is_read_anew),
        cmocka_unit_test(test_stdin_is_read_once),
    };
    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
