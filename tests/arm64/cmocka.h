/*
 * cmocka.h - implements the little of cmocka that a test of the kernels needs, since Debian's
 * package is not available for a foreign architecture. A failure ends the program.
 */
#ifndef MEGA_CMOCKA_H
#define MEGA_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

static inline void fail_unless(int condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, text);
    exit(1);
}

static inline int run_tests(const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tests[i].run(NULL);
        printf("ok %s\n", tests[i].name);
    }
    return 0;
}

#define assert_true(condition) fail_unless((condition) != 0, #condition, __FILE__, __LINE__)
#define assert_false(condition) assert_true(!(condition))
#define assert_non_null(pointer) assert_true((pointer) != NULL)
#define assert_int_equal(a, b) assert_true((a) == (b))
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)
#define fail_msg(...) (fprintf(stderr, __VA_ARGS__), exit(1))
#define cmocka_unit_test(function) {#function, function}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    run_tests(tests, sizeof(tests) / sizeof(tests)[0])

#endif
