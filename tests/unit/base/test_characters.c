/*
 * test_characters.c - the byte at which each character begins is the one that counting from the
 * start of the text finds, for any characters, for bytes that are not UTF-8, and past the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/characters.h"

static void bytes_are_those_of_counting(void **state)
{
    static const char *const pieces[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                         "\xff"};
    enum { MOST = 1000 };
    char text[4 * MOST];
    size_t begins[MOST + 1], size = 0;
    (void)state;
    srand(1);
    for (size_t count = 0; count <= MOST; count++) {
        begins[count] = size;
        if (count % 64 < 2 || count == MOST) {
            MegaCharacters characters = mega_characters_of(text, size), none = characters;
            none.count = 0; /* as without memory */
            for (size_t i = 0; i <= count; i++) {
                assert_int_equal(mega_characters_byte(&characters, i), begins[i]);
                assert_int_equal(mega_characters_byte(&none, i), begins[i]);
            }
            assert_int_equal(mega_characters_byte(&characters, count + 1), size);
            assert_int_equal(mega_characters_byte(&characters, SIZE_MAX), size);
            mega_characters_free(&characters);
        }
        const char *piece = pieces[rand() % 5];
        if (count < MOST) {
            memcpy(text + size, piece, strlen(piece));
            size += strlen(piece);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_are_those_of_counting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
