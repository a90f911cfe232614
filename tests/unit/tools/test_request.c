/*
 * test_request.c - parses requests as mega-run serve does (tools/run/serve/request.h, fields.h),
 * and tests which of them it may answer (guard.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/run/serve/fields.h"
#include "tools/run/serve/guard.h"
#include "tools/run/serve/multipart.h"
#include "tools/run/serve/request.h"

/* Reads a body, whose end is that of its memory, so that sanitizers see a step beyond it. */
static int read_body(Request *out, const char *type, const char *body, size_t size, MegaError *err)
{
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, body, size);
    int code = request_read(out, type, copy, size, err);
    out->file_size = out->file ? out->file_size : 0;
    out->file = NULL; /* it lay in the copy */
    free(copy);
    return code;
}

static void assert_refused(int code, const char *type, const char *body)
{
    Request request;
    MegaError err = {0};
    assert_int_equal(read_body(&request, type, body, strlen(body), &err), code);
    assert_int_equal(err.code, code);
    assert_true(strlen(err.text) > 10);
    request_free(&request);
}

static void assert_field(const char *type, const char *body, const char *name, const char *value)
{
    Request request;
    MegaError err = {0};
    if (read_body(&request, type, body, strlen(body), &err))
        fail_msg("%s: %s", body, err.text);
    const json_t *found = json_object_get(request.fields, name);
    assert_non_null(found);
    assert_string_equal(json_string_value(found), value);
    request_free(&request);
}

static void types_decide(void **state)
{
    (void)state;
    assert_field("application/json", "{\"q\":\"a\"}", "q", "a");
    assert_field("Application/JSON; charset=utf-8", " {\"q\":\"a\"} ", "q", "a");
    assert_field("application/x-www-form-urlencoded", "q=a+b%21&r=", "q", "a b!");
    assert_field("application/x-www-form-urlencoded", "&&q=%zz%4&&", "q", "%zz%4");
    assert_field("application/x-www-form-urlencoded", "q=%ff", "q", "\xef\xbf\xbd");
    assert_field("application/x-www-form-urlencoded", "{\"q\":\"a\"}", "q", "a");
    assert_field("text/plain; charset=utf-8", "a text", "text", "a text");
    Request request;
    assert_int_equal(request_read(&request, "audio/wav", "RIFF", 4, NULL), 0);
    assert_int_equal(request.file_size, 4);
    assert_int_equal(request.pcm.rate, 0);
    request_free(&request);
    assert_int_equal(request_read(&request, NULL, NULL, 0, NULL), 0);
    assert_null(request.file);
    assert_int_equal(json_object_size(request.fields), 0);
    request_free(&request);
    assert_int_equal(request_read(&request, "audio/L16;channels=2; rate=8000", "abcd", 4, NULL), 0);
    assert_int_equal(request.pcm.rate, 8000);
    assert_int_equal(request.pcm.channels, 2);
    assert_int_equal(request.pcm.format, MEGA_PCM_S16BE);
    request_free(&request);
}

static void wrong_bodies_are_refused(void **state)
{
    (void)state;
    static const char json[] = "application/json", form[] = "application/x-www-form-urlencoded";
    assert_refused(MEGA_ERR_FORMAT, json, "{");
    assert_refused(MEGA_ERR_FORMAT, json, "[]");
    assert_refused(MEGA_ERR_FORMAT, json, "null");
    assert_refused(MEGA_ERR_FORMAT, json, "{\"a\":1,\"a\":2}");
    assert_refused(MEGA_ERR_FORMAT, json, "{} {}");
    assert_refused(MEGA_ERR_FORMAT, json, "{\"a\":\"\xff\"}");
    assert_refused(MEGA_ERR_ARGUMENT, form, "a=1&a=2");
    assert_refused(MEGA_ERR_ARGUMENT, form, "=1");
    assert_refused(MEGA_ERR_ARGUMENT, form, "%00=1");
    assert_refused(MEGA_ERR_FORMAT, form, "%ff=1");
    assert_refused(MEGA_ERR_UNSUPPORTED, "multipart/mixed; boundary=a", "--a--");
    assert_refused(MEGA_ERR_ARGUMENT, "audio/L16", "ab");
    assert_refused(MEGA_ERR_ARGUMENT, "audio/L16; rate=0", "ab");
    assert_refused(MEGA_ERR_ARGUMENT, "audio/L16; rate=16000; channels=65", "ab");
}

/* Values of a JSON body take many times its bytes. */
static void bombs_are_refused(void **state)
{
    (void)state;
    enum { BYTES = 12 << 20, FIELDS = 1000 };
    Request request;
    MegaError err = {0};
    char *body = malloc(BYTES);
    assert_non_null(body);
    for (int i = 0; i < BYTES; i++)
        body[i] = i % 2 ? ',' : '1';
    body[0] = '[';
    assert_int_equal(request_read(&request, "application/json", body, BYTES, &err), MEGA_ERR_LIMIT);
    request_free(&request);
    size_t used = 0;
    for (int i = 0; i < FIELDS; i++)
        used += (size_t)snprintf(body + used, BYTES - used, "a%d=&", i);
    assert_int_equal(request_read(&request, "application/x-www-form-urlencoded", body, used, &err),
                     MEGA_ERR_LIMIT);
    request_free(&request);
    free(body);
}

/* ---- Multipart ------------------------------------------------------------------------------ */

#define PART "Content-Disposition: form-data; name=\"q\"\r\n\r\n"

static void parts_are_found(void **state)
{
    (void)state;
    static const char type[] = "multipart/form-data; boundary=\"B\"";
    assert_field(type, "--B\r\n" PART "a\r\n--B--\r\n", "q", "a");
    assert_field(type, "x\r\n--B\r\n" PART "a\r\n--B--", "q", "a");
    assert_field(type, "--B\r\n" PART "\r\n--B--", "q", "");
    assert_field(type, "--B\r\n" PART "--B\r\n\r\n--B--", "q", "--B\r\n");
    assert_field(type, "--B\r\ncontent-disposition:FORM-DATA;x=1; NAME=q\r\n\r\na\r\n--B--", "q",
                 "a");
    Request request;
    static const char file[] = "--B\r\nContent-Disposition: form-data; name=\"x\"; "
                               "filename=\"a\\\"b;c\"\r\nContent-Type: audio/L16; rate=8000\r\n\r\n"
                               "\0\r\n-\r\n--B--";
    assert_int_equal(request_read(&request, type, file, sizeof file - 1, NULL), 0);
    assert_int_equal(request.file_size, 4);
    assert_memory_equal(request.file, "\0\r\n-", 4);
    assert_string_equal(json_string_value(request.file_name), "a\"b;c");
    assert_int_equal(request.pcm.rate, 8000);
    request_free(&request);
}

static void broken_parts_are_refused(void **state)
{
    (void)state;
    static const char type[] = "multipart/form-data; boundary=B";
    static const char whole[] = "--B\r\n" PART "a\r\n--B--";
    char part[sizeof whole];
    for (size_t size = 0; size < sizeof whole - 3; size++) { /* every beginning of a body */
        memcpy(part, whole, size);
        part[size] = '\0';
        assert_refused(MEGA_ERR_FORMAT, type, part);
    }
    assert_refused(MEGA_ERR_FORMAT, "multipart/form-data", whole);
    assert_refused(MEGA_ERR_FORMAT, "multipart/form-data; boundary=\"\"", whole);
    assert_refused(MEGA_ERR_FORMAT, "multipart/form-data; xboundary=B", whole);
    assert_refused(MEGA_ERR_FORMAT, type, "--B\r\n\r\na\r\n--B--");
    assert_refused(MEGA_ERR_FORMAT, type, "--B\r\nContent-Disposition: file\r\n\r\na\r\n--B--");
    assert_refused(MEGA_ERR_ARGUMENT, type, "--B\r\n" PART "a\r\n--B\r\n" PART "b\r\n--B--");
}

static void parameters_are_found(void **state)
{
    (void)state;
    char out[8];
    assert_true(header_parameter("a; b=1; c=\"2;3\"", "c", out, sizeof out));
    assert_string_equal(out, "2;3");
    assert_true(header_parameter("a;;; B = x; b=1", "b", out, sizeof out));
    assert_string_equal(out, "1");
    assert_true(header_parameter("a; b=123456789", "b", out, sizeof out));
    assert_string_equal(out, "1234567");
    assert_true(header_parameter("a; b=\"\\\\\\\"", "b", out, sizeof out)); /* it has no end */
    assert_string_equal(out, "\\\"");
    assert_false(header_parameter("b=1", "b", out, sizeof out));
    assert_false(header_parameter("a; c=\"b=1\"", "b", out, sizeof out));
    assert_false(header_parameter("", "b", out, sizeof out));
}

/* ---- Fields --------------------------------------------------------------------------------- */

static int take(const char *json, const Field *table, MegaError *err)
{
    json_t *object = json_loads(json, 0, NULL);
    assert_non_null(object);
    int code = fields_take(object, table, err);
    json_decref(object);
    return code;
}

static void fields_have_kinds_and_ranges(void **state)
{
    (void)state;
    int whole = 0;
    double real = 0;
    bool flag = false;
    uint64_t seed = 0;
    FieldText text = {0};
    MegaError err = {0};
    const Field table[] = {{"n", FIELD_INT, &whole, 1, 9},    {"x", FIELD_REAL, &real, -1, 1},
                           {"flag", FIELD_FLAG, &flag, 0, 0}, {"seed", FIELD_SEED, &seed, 0, 0},
                           {"text", FIELD_TEXT, &text, 0, 0}, {0}};
    assert_int_equal(
        take("{\"n\":3,\"x\":\"0.5\",\"flag\":\"1\",\"seed\":\"18446744073709551615\"}", table,
             &err),
        0);
    assert_int_equal(whole, 3);
    assert_true(real == 0.5 && flag && seed == UINT64_MAX);
    assert_int_equal(take("{\"n\":9.0,\"flag\":false,\"text\":null}", table, &err), 0);
    assert_true(whole == 9 && !flag && !text.data);
    static const char *const wrong[] = {
        "{\"n\":0}",          "{\"n\":10}",
        "{\"n\":1.5}",        "{\"n\":\"a\"}",
        "{\"n\":\"1 \"}",     "{\"n\":true}",
        "{\"n\":[1]}",        "{\"n\":1e300}",
        "{\"x\":2}",          "{\"x\":\"nan\"}",
        "{\"flag\":2}",       "{\"flag\":\"yes\"}",
        "{\"seed\":-1}",      "{\"seed\":\"-1\"}",
        "{\"seed\":1.5}",     "{\"text\":1}",
        "{\"text\":[\"a\"]}", "{\"m\":1}",
        "{\"N\":1}",          "{\"seed\":\"99999999999999999999\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (take(wrong[i], table, &err) != MEGA_ERR_ARGUMENT)
            fail_msg("%s was taken", wrong[i]);
}

/* ---- Guard ---------------------------------------------------------------------------------- */

static int status_of(const Guard *guard, const char *host, const char *origin, const char *key)
{
    MegaError err = {0};
    return guard_check(
        guard,
        &(GuardRequest){.host = host, .origin = origin, .authorization = key, .needs_key = true},
        &err);
}

static void foreign_pages_are_refused(void **state)
{
    (void)state;
    static const char *const origins[] = {"https://a.example"};
    const Guard closed = {.host = "127.0.0.1", .is_loopback = true};
    const Guard open = {.host = "0.0.0.0", .origins = origins, .origin_count = 1};
    assert_int_equal(status_of(&closed, "localhost:8080", NULL, NULL), 0);
    assert_int_equal(status_of(&closed, "127.3.2.1", NULL, NULL), 0);
    assert_int_equal(status_of(&closed, "[::1]:8080", "http://[::1]:8080", NULL), 0);
    assert_int_equal(status_of(&closed, NULL, NULL, NULL), 0); /* HTTP/1.0 */
    static const char *const hosts[] = {"a.example",
                                        "localhost.a.example",
                                        "127.0.0.1.a.example",
                                        "10.0.0.1",
                                        "localhost@a.example",
                                        "[::2]",
                                        ":80",
                                        ""};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (status_of(&closed, hosts[i], NULL, NULL) != 403)
            fail_msg("host '%s' was taken", hosts[i]);
    static const char *const foreign[] = {
        "https://b.example", "null", "", "http://localhost:81", "http://localhost.b.example",
        "http://b@localhost"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (status_of(&closed, "localhost", foreign[i], NULL) != 403)
            fail_msg("origin '%s' was taken", foreign[i]);
    assert_int_equal(status_of(&open, "192.0.2.7:80", "https://a.example", NULL), 0);
    assert_int_equal(status_of(&open, "192.0.2.7:80", "https://a.example.b", NULL), 403);
    assert_int_equal(status_of(&open, "b.example", NULL, NULL), 403);
    assert_true(guard_allows_origin(&open, "https://a.example"));
    assert_false(guard_allows_origin(&closed, "https://a.example"));
}

static void keys_are_needed(void **state)
{
    (void)state;
    Guard guard = {.host = "0.0.0.0"};
    char path[] = "/tmp/mega-keys-XXXXXX";
    const int fd = mkstemp(path);
    static const char text[] = "# comment\r\n first \r\n\r\nsecond";
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_int_equal(guard_read_keys(&guard, path, NULL), 0);
    unlink(path);
    assert_int_equal(guard.key_count, 2);
    assert_int_equal(status_of(&guard, "b.example", NULL, "Bearer first"), 0);
    assert_int_equal(status_of(&guard, "b.example", NULL, "bearer  second"), 0);
    static const char *const wrong[] = {NULL,          "first",
                                        "Bearer firs", "Bearer firstt",
                                        "Bearer ",     "Bearer # comment",
                                        "Basic first", "Bearer first\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (status_of(&guard, "b.example", NULL, wrong[i]) != 401)
            fail_msg("'%s' was taken", wrong[i] ? wrong[i] : "no key");
    guard_free(&guard);
    assert_int_equal(guard_read_keys(&guard, "/dev/null", NULL), MEGA_ERR_INPUT);
    guard_free(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_decide),
        cmocka_unit_test(wrong_bodies_are_refused),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(parts_are_found),
        cmocka_unit_test(broken_parts_are_refused),
        cmocka_unit_test(parameters_are_found),
        cmocka_unit_test(fields_have_kinds_and_ranges),
        cmocka_unit_test(foreign_pages_are_refused),
        cmocka_unit_test(keys_are_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
