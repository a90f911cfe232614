/*
 * test_meta.c - typed metadata and its serialised form (formats/mega/meta.h).
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/mega/meta.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const int64_t ints[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
static const double floats[] = {0.0, -0.0, 0.1, 1e308, 5e-324};
static const char *const strings[] = {"", "yes", "\xe2\x82\xac", "two\nlines"};

/* Returns one value of every type, in an order that is not alphabetical. */
static MegaMeta *sample(void)
{
    MegaMeta *meta = mega_meta_new();
    assert_non_null(meta);
    assert_int_equal(mega_meta_set_string(meta, "z.string", "gr\xc3\xbc\xc3\x9f"), 0);
    assert_int_equal(mega_meta_set_bool(meta, "b.true", true), 0);
    assert_int_equal(mega_meta_set_bool(meta, "b.false", false), 0);
    assert_int_equal(mega_meta_set_int(meta, "a.int", -5), 0);
    assert_int_equal(mega_meta_set_float(meta, "a.float", 0.25), 0);
    assert_int_equal(mega_meta_set_ints(meta, "ints", ints, COUNT(ints)), 0);
    assert_int_equal(mega_meta_set_floats(meta, "floats", floats, COUNT(floats)), 0);
    assert_int_equal(mega_meta_set_strings(meta, "strings", strings, COUNT(strings)), 0);
    assert_int_equal(mega_meta_set_ints(meta, "no.ints", NULL, 0), 0);
    assert_int_equal(mega_meta_set_floats(meta, "no.floats", NULL, 0), 0);
    assert_int_equal(mega_meta_set_strings(meta, "no.strings", NULL, 0), 0);
    return meta;
}

static void check_sample(const MegaMeta *meta)
{
    static const char *const keys[] = {"z.string", "b.true",    "b.false",   "a.int",
                                       "a.float",  "ints",      "floats",    "strings",
                                       "no.ints",  "no.floats", "no.strings"};
    MegaError err = {0};
    const char *text;
    bool flag;
    int64_t number;
    double real;
    assert_int_equal(mega_meta_count(meta), COUNT(keys));
    for (size_t i = 0; i < COUNT(keys); i++) {
        assert_string_equal(mega_meta_at(meta, i)->key, keys[i]);
        assert_ptr_equal(mega_meta_find(meta, keys[i]), mega_meta_at(meta, i));
    }
    assert_int_equal(mega_meta_get_string(meta, "z.string", &text, &err), 0);
    assert_string_equal(text, "gr\xc3\xbc\xc3\x9f");
    assert_int_equal(mega_meta_get_bool(meta, "b.true", &flag, &err), 0);
    assert_true(flag);
    assert_int_equal(mega_meta_get_bool(meta, "b.false", &flag, &err), 0);
    assert_false(flag);
    assert_int_equal(mega_meta_get_int(meta, "a.int", -5, -5, &number, &err), 0);
    assert_int_equal(number, -5);
    assert_int_equal(mega_meta_get_float(meta, "a.float", &real, &err), 0);
    assert_true(real == 0.25);
    assert_int_equal(mega_meta_get_float(meta, "a.int", &real, &err), 0); /* an int is accepted,
                                                                             too */
    assert_true(real == -5.0);
    const MegaMetaValue *value = mega_meta_find(meta, "ints");
    assert_int_equal(value->count, COUNT(ints));
    assert_memory_equal(value->integers, ints, sizeof ints);
    value = mega_meta_find(meta, "floats");
    assert_int_equal(value->count, COUNT(floats));
    assert_memory_equal(value->reals, floats, sizeof floats);
    value = mega_meta_find(meta, "strings");
    assert_int_equal(value->count, COUNT(strings));
    for (size_t i = 0; i < COUNT(strings); i++)
        assert_string_equal(value->strings[i], strings[i]);
    assert_int_equal(mega_meta_find(meta, "no.strings")->count, 0);
    assert_int_equal(mega_meta_find(meta, "no.strings")->type, MEGA_META_STRINGS);
}

static void encode(const MegaMeta *meta, uint8_t **bytes, size_t *size)
{
    MegaError err = {0};
    assert_int_equal(mega_meta_encode(meta, bytes, size, &err), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    MegaError err = {0};
    uint8_t *bytes, *again;
    size_t size, again_size;
    MegaMeta *meta = sample(), *decoded;
    check_sample(meta);
    encode(meta, &bytes, &size);
    assert_int_equal(mega_meta_decode(&decoded, bytes, size, &err), 0);
    check_sample(decoded);
    encode(decoded, &again, &again_size);
    assert_int_equal(again_size, size);
    assert_memory_equal(again, bytes, size);
    mega_meta_free(decoded);
    mega_meta_free(meta);
    free(bytes);
    free(again);
    mega_meta_free(NULL);
}

static void test_replace(void **state)
{
    (void)state;
    MegaError err = {0};
    int64_t number;
    MegaMeta *meta = sample();
    size_t count = mega_meta_count(meta);
    assert_int_equal(mega_meta_set_int(meta, "b.true", 7), 0);
    assert_int_equal(mega_meta_count(meta), count);
    assert_string_equal(mega_meta_at(meta, 1)->key, "b.true");
    assert_int_equal(mega_meta_get_int(meta, "b.true", 0, 9, &number, &err), 0);
    assert_int_equal(number, 7);
    mega_meta_free(meta);
}

static void test_setter_limits(void **state)
{
    (void)state;
    char key[257];
    memset(key, 'k', 256);
    key[256] = '\0';
    MegaMeta *meta = mega_meta_new();
    assert_int_equal(mega_meta_set_int(meta, key, 1), MEGA_ERR_ARGUMENT);
    key[255] = '\0';
    assert_int_equal(mega_meta_set_int(meta, key, 1), 0);
    assert_int_equal(mega_meta_set_int(meta, "", 1), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_meta_set_int(meta, "a b", 1), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_meta_set_int(meta, "\xc3\xa9", 1), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_meta_set_string(meta, "s", "\xff"), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_meta_set_strings(meta, "s", (const char *[]){"a", "\xc3"}, 2),
                     MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_meta_set_float(meta, "f", NAN), MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_meta_set_floats(meta, "f", (double[]){1, INFINITY}, 2),
                     MEGA_ERR_ARGUMENT);
    assert_int_equal(mega_meta_count(meta), 1);
    mega_meta_free(meta);
}

static void test_getter_errors(void **state)
{
    (void)state;
    MegaError err = {0};
    int64_t number;
    double real;
    bool flag;
    const char *text;
    MegaMeta *meta = sample();
    assert_int_equal(mega_meta_get_int(meta, "nothing", 0, 1, &number, &err), MEGA_ERR_MODEL);
    assert_says(&err, "no 'nothing'");
    assert_int_equal(mega_meta_get_int(meta, "a.int", 0, 9, &number, &err), MEGA_ERR_MODEL);
    assert_says(&err, "'a.int' is -5, expected 0 to 9");
    assert_int_equal(mega_meta_get_int(meta, "a.float", 0, 9, &number, &err), MEGA_ERR_MODEL);
    assert_says(&err, "'a.float' holds type float, expected int");
    assert_int_equal(mega_meta_get_float(meta, "b.true", &real, &err), MEGA_ERR_MODEL);
    assert_says(&err, "holds type bool, expected float");
    assert_int_equal(mega_meta_get_bool(meta, "ints", &flag, &err), MEGA_ERR_MODEL);
    assert_says(&err, "holds type array of int, expected bool");
    assert_int_equal(mega_meta_get_string(meta, "strings", &text, &err), MEGA_ERR_MODEL);
    assert_says(&err, "holds type array of string, expected string");
    mega_meta_free(meta);
}

static void test_truncated(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t size;
    MegaMeta *meta = sample(), *decoded;
    encode(meta, &bytes, &size);
    for (size_t length = 0; length < size; length++) {
        MegaError err = {0};
        uint8_t *copy = malloc(length + 1); /* so that a sanitizer sees a read past its end */
        memcpy(copy + 1, bytes, length);
        int code = mega_meta_decode(&decoded, copy + 1, length, &err);
        assert_int_equal(code, MEGA_ERR_FORMAT);
        assert_null(decoded);
        assert_true(err.text[0]);
        free(copy);
    }
    mega_meta_free(meta);
    free(bytes);
}

/* Any damage gives an error or other values, but no crash. Accepted data can be encoded again. */
static void test_damaged(void **state)
{
    (void)state;
    uint8_t *bytes, *again;
    size_t size, again_size, accepted = 0;
    MegaMeta *meta = sample(), *decoded;
    encode(meta, &bytes, &size);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 9; bit++) {
            uint8_t flip = (uint8_t)(bit < 8 ? 1 << bit : 0xff);
            MegaError err = {0};
            bytes[i] ^= flip;
            if (mega_meta_decode(&decoded, bytes, size, &err) == 0) {
                accepted++;
                encode(decoded, &again, &again_size);
                assert_int_equal(again_size, size);
                assert_memory_equal(again, bytes, size);
                free(again);
                mega_meta_free(decoded);
            } else {
                assert_int_not_equal(err.code, MEGA_ERR_MEMORY);
            }
            bytes[i] ^= flip;
        }
    }
    assert_true(accepted > 0);
    mega_meta_free(meta);
    free(bytes);
}

/* Data serialised by hand: count, then entries of {key, type, element count, payload}. */
typedef struct Hostile {
    uint32_t count;
    const char *key;
    uint8_t type;
    uint32_t elements;
    const char *payload;
    size_t payload_size;
    int code;
    const char *message;
} Hostile;

static const Hostile hostiles[] = {
    {65537, "k", 2, 1, "", 0, MEGA_ERR_LIMIT, "65537 keys exceeds the limit"},
    {UINT32_MAX, "k", 2, 1, "", 0, MEGA_ERR_LIMIT, "exceeds the limit"},
    {0, "k", 2, 1, "\0\0\0\0\0\0\0\0", 8, MEGA_ERR_FORMAT, "follow the last"},
    {2, "k", 2, 1, "\0\0\0\0\0\0\0\0", 8, MEGA_ERR_FORMAT, "entry 1 reaches beyond"},
    {1, "", 2, 1, "\0\0\0\0\0\0\0\0", 8, MEGA_ERR_FORMAT, "expected 1 to 255"},
    {1, "a\n", 2, 1, "\0\0\0\0\0\0\0\0", 8, MEGA_ERR_FORMAT, "printable"},
    {1, "k", 0, 1, "", 0, MEGA_ERR_UNSUPPORTED, "type 0"},
    {1, "k", 8, 1, "", 0, MEGA_ERR_UNSUPPORTED, "type 8"},
    {1, "k", 255, 1, "", 0, MEGA_ERR_UNSUPPORTED, "type 255"},
    {1, "k", 2, 0, "", 0, MEGA_ERR_FORMAT, "one element"},
    {1, "k", 2, 2, "0123456789abcdef", 16, MEGA_ERR_FORMAT, "one element"},
    {1, "k", 1, 1, "\2", 1, MEGA_ERR_FORMAT, "neither 0 nor 1"},
    {1, "k", 3, 1, "\0\0\0\0\0\0\xf0\x7f", 8, MEGA_ERR_FORMAT, "not finite"},
    {1, "k", 6, 1, "\0\0\0\0\0\0\xf8\xff", 8, MEGA_ERR_FORMAT, "not finite"},
    {1, "k", 4, 1, "\1\0\0\0\xff", 5, MEGA_ERR_FORMAT, "not UTF-8"},
    {1, "k", 4, 1, "\1\0\0\0\0", 5, MEGA_ERR_FORMAT, "not UTF-8"},
    {1, "k", 4, 1, "\xff\xff\xff\xff", 4, MEGA_ERR_FORMAT, "beyond the end"},
    {1, "k", 5, 16777217, "", 0, MEGA_ERR_FORMAT, "limit"},
    {1, "k", 5, 16777216, "", 0, MEGA_ERR_FORMAT, "beyond the end"},
    {1, "k", 6, 16777216, "", 0, MEGA_ERR_FORMAT, "beyond the end"},
    {1, "k", 7, 16777216, "", 0, MEGA_ERR_FORMAT, "beyond the end"},
};

static void test_hostile(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hostiles); i++) {
        const Hostile *hostile = &hostiles[i];
        MegaBuffer buffer = {0};
        MegaError err = {0};
        MegaMeta *decoded;
        mega_put_u32(&buffer, hostile->count);
        mega_put_u16(&buffer, (uint16_t)strlen(hostile->key));
        mega_put_bytes(&buffer, hostile->key, strlen(hostile->key));
        mega_put_u8(&buffer, hostile->type);
        mega_put_u32(&buffer, hostile->elements);
        mega_put_bytes(&buffer, hostile->payload, hostile->payload_size);
        int code = mega_meta_decode(&decoded, buffer.data, buffer.size, &err);
        if (code != hostile->code)
            fail_msg("case %zu gives %d: %s", i, code, err.text);
        assert_says(&err, hostile->message);
        mega_buffer_free(&buffer);
    }
}

static void test_duplicate(void **state)
{
    (void)state;
    MegaBuffer buffer = {0};
    MegaError err = {0};
    MegaMeta *decoded;
    mega_put_u32(&buffer, 3);
    for (int i = 0; i < 3; i++) {
        mega_put_u16(&buffer, 1);
        mega_put_u8(&buffer, i == 1 ? 'b' : 'a');
        mega_put_u8(&buffer, MEGA_META_BOOL);
        mega_put_u32(&buffer, 1);
        mega_put_u8(&buffer, 1);
    }
    assert_int_equal(mega_meta_decode(&decoded, buffer.data, buffer.size, &err), MEGA_ERR_FORMAT);
    assert_says(&err, "'a' occurs twice");
    mega_buffer_free(&buffer);
}

/* Tests the largest number of keys, and a vocabulary of a million symbols. */
static void test_large(void **state)
{
    (void)state;
    enum { SYMBOLS = 1000000 };
    char key[16];
    uint8_t *bytes;
    size_t size;
    int64_t number;
    MegaError err = {0};
    MegaMeta *meta = mega_meta_new(), *decoded;
    for (int i = 0; i < MEGA_META_MAX_KEYS - 1; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(mega_meta_set_int(meta, key, i), 0);
    }
    const char **symbols = malloc(SYMBOLS * sizeof *symbols);
    char *text = malloc((size_t)SYMBOLS * 12);
    for (int i = 0; i < SYMBOLS; i++) {
        snprintf(text + 12 * (size_t)i, 12, "%d", i);
        symbols[i] = text + 12 * (size_t)i;
    }
    assert_int_equal(mega_meta_set_strings(meta, "vocabulary", symbols, SYMBOLS), 0);
    assert_int_equal(mega_meta_set_int(meta, "one.more", 1), MEGA_ERR_LIMIT);
    assert_int_equal(mega_meta_set_int(meta, "k0", 0), 0);
    encode(meta, &bytes, &size);
    assert_int_equal(mega_meta_decode(&decoded, bytes, size, &err), 0);
    for (int i = 0; i < MEGA_META_MAX_KEYS - 1; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(mega_meta_get_int(decoded, key, 0, i, &number, &err), 0);
        assert_int_equal(number, i);
    }
    const MegaMetaValue *value = mega_meta_find(decoded, "vocabulary");
    assert_int_equal(value->count, SYMBOLS);
    assert_string_equal(value->strings[SYMBOLS - 1], "999999");
    free(bytes);
    free(text);
    free(symbols);
    mega_meta_free(meta);
    mega_meta_free(decoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_replace),
        cmocka_unit_test(test_setter_limits), cmocka_unit_test(test_getter_errors),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_hostile),       cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests_name("meta", tests, NULL, NULL);
}
