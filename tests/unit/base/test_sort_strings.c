/*
 * test_sort_strings.c - strings come out as strcmp orders them, and equal ones by id, whatever they
 * share with each other.
 */
#include "src/base/sort_strings.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/support.h"

#define COUNT 4000
#define LONGEST 12 /* bytes; a key holds the first 8 */

static void assert_sorted(const MegaSortString *strings, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const int order = strcmp(strings[i - 1].text, strings[i].text);
        assert_true(order < 0 || (order == 0 && strings[i - 1].id < strings[i].id));
    }
}

/* Few different bytes make many strings that are equal, or differ after the eighth byte only. */
static void sorts_any_strings(void **state)
{
    static const char bytes[] = {'a', 'b', '\x01', '\x7f', '\x80', '\xff'};
    static char texts[COUNT][LONGEST + 1];
    static MegaSortString strings[COUNT];
    bool seen[COUNT] = {false};
    Random random = {71};
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const int length = random_int(&random, 0, LONGEST), same = random_int(&random, 0, length);
        for (int b = 0; b < length; b++)
            texts[i][b] = b < same ? 'a' : bytes[random_int(&random, 0, sizeof bytes - 1)];
        strings[i] = (MegaSortString){.text = texts[i], .id = (uint32_t)i};
    }
    mega_sort_strings(strings, COUNT);
    assert_sorted(strings, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(strings[i].text, texts[strings[i].id]);
        assert_false(seen[strings[i].id]);
        seen[strings[i].id] = true;
    }
}

static void sorts_none_and_one(void **state)
{
    MegaSortString one = {.text = "", .id = 7};
    (void)state;
    mega_sort_strings(&one, 0);
    mega_sort_strings(&one, 1);
    assert_int_equal(one.id, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_any_strings),
        cmocka_unit_test(sorts_none_and_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
