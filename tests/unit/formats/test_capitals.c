/*
 * test_capitals.c - which texts are in capitals, what they are in small letters, and what small
 * letters are in capitals, also where the user's locale is another.
 */
#include "tests/unit/support.h"

#include <locale.h>
#include <string.h>

#include "formats/text/capitals.h"

typedef void (*Step)(const MegaCapitals *capitals, const char *text, size_t size, MegaBuffer *out);

static void check(const MegaCapitals *capitals, Step step, const char *text, const char *expected)
{
    MegaBuffer out = {0};
    step(capitals, text, strlen(text), &out);
    mega_put_u8(&out, 0);
    assert_false(out.failed);
    assert_string_equal((const char *)out.data, expected);
    mega_buffer_free(&out);
}

static void finds_capitals(void **state)
{
    static const char *const in_capitals[] = {
        "THE STATION IS CLOSED.", "NO", "3 EGGS, 500 G", "ÜBER UNS", "ΑΘΗΝΑ", "ПРИВЕТ", "I AM 6.",
        "Ä Ö"};
    static const char *const others[] = {"",    "A",      "42 %",           "I",
                                         "No",  "GOOd",   "STRAßE",         "東京",
                                         "ß",   "A DOG b", "Ich bin in ROM", "... !"};
    MegaCapitals *capitals;
    (void)state;
    assert_int_equal(mega_capitals_new(&capitals, "en", NULL), 0);
    for (size_t i = 0; i < sizeof in_capitals / sizeof in_capitals[0]; i++)
        if (!mega_capitals_found(capitals, in_capitals[i], strlen(in_capitals[i])))
            fail_msg("'%s' is in capitals", in_capitals[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (mega_capitals_found(capitals, others[i], strlen(others[i])))
            fail_msg("'%s' is not in capitals", others[i]);
    mega_capitals_free(capitals);
}

static void lowers(void **state)
{
    MegaCapitals *english, *german;
    (void)state;
    assert_int_equal(mega_capitals_new(&english, "en", NULL), 0);
    assert_int_equal(mega_capitals_new(&german, "de", NULL), 0);
    check(english, mega_capitals_lower, "", "");
    check(english, mega_capitals_lower, "THE STATION IS CLOSED. WHY?",
          "The station is closed. Why?");
    check(english, mega_capitals_lower, "WHAT DID I SAY? I'M IN IT (I).",
          "What did I say? I'm in it (I).");
    check(german, mega_capitals_lower, "WAS I IST", "Was i ist");
    check(german, mega_capitals_lower, "\"HALT!\" ÄPFEL UND ÖL", "\"Halt!\" Äpfel und öl");
    check(english, mega_capitals_lower, "3.5 EGGS AT 8.30 AM ... NOW",
          "3.5 Eggs at 8.30 am ... Now");
    check(english, mega_capitals_lower, "A.B. ΑΘΗΝΑ  ДОМ", "A.b. Αθηνα  дом");
    mega_capitals_free(english);
    mega_capitals_free(german);
}

static void raises(void **state)
{
    MegaCapitals *capitals;
    (void)state;
    assert_int_equal(mega_capitals_new(&capitals, "en", NULL), 0);
    check(capitals, mega_capitals_raise, "", "");
    check(capitals, mega_capitals_raise, "Ich weiß es, für 5 Äpfel.", "ICH WEISS ES, FÜR 5 ÄPFEL.");
    check(capitals, mega_capitals_raise, "дом 東京 \xf0\x9f\x98\x80 ÿ", "ДОМ 東京 \xf0\x9f\x98\x80 Ÿ");
    mega_capitals_free(capitals);
}

/* In Turkish a small "I" has no dot; the C locale has no letters but ASCII. */
static void ignores_the_locale(void **state)
{
    static const char *const locales[] = {"C", "tr_TR.UTF-8", ""};
    for (size_t i = 0; i < sizeof locales / sizeof locales[0]; i++) {
        setlocale(LC_ALL, locales[i]); /* one that is not installed changes nothing */
        finds_capitals(state);
        lowers(state);
        raises(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_capitals),
        cmocka_unit_test(lowers),
        cmocka_unit_test(raises),
        cmocka_unit_test(ignores_the_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
