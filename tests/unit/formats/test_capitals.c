/*
 * test_capitals.c - recognises texts in capitals, converts them to small letters and back, and does
 * so in every locale of the user.
 */
#include "tests/unit/support.h"

#include <locale.h>
#include <string.h>

#include "formats/text/capitals.h"

/* Counts as a vocabulary does that has some words and otherwise letters. */
static int count_symbols(void *context, const char *word, size_t size, size_t *count,
                         MegaError *err)
{
    const char *const *known = context;
    (void)err;
    *count = size;
    for (; *known; known++)
        if (strlen(*known) == size && memcmp(*known, word, size) == 0)
            *count = 1;
    return 0;
}

static void check(MegaBuffer *out, const char *expected)
{
    mega_put_u8(out, 0);
    assert_false(out->failed);
    assert_string_equal((const char *)out->data, expected);
    mega_buffer_free(out);
}

static void check_lower(const MegaCapitals *capitals, const char *text, const char *expected)
{
    static const char *const known[] = {
        "The", "station", "is", "closed", "Why", "What", "did", "say", "m", "in", "it", "i", "war",
        "Halt", "Äpfel", "äpfel", "und", "öl", "ist", "Eggs", "at", "am", "Now", "TV", "tv", "Haus",
        "on", "OK", "ok", "große", "Straße", "Masse", "masse", "Boss", NULL};
    MegaBuffer out = {0};
    assert_int_equal(mega_capitals_lower(capitals, text, strlen(text), count_symbols,
                                         (void *)known, &out, NULL),
                     0);
    check(&out, expected);
}

static void check_raise(const MegaCapitals *capitals, const char *text, const char *expected)
{
    MegaBuffer out = {0};
    mega_capitals_raise(capitals, text, strlen(text), &out);
    check(&out, expected);
}

static void finds_capitals(void **state)
{
    static const char *const in_capitals[] = {
        "THE STATION IS CLOSED.", "NO", "3 EGGS, 500 G", "ÜBER UNS", "ΑΘΗΝΑ", "ПРИВЕТ", "I AM 6.",
        "Ä Ö"};
    static const char *const others[] = {"",    "A",      "42 %",           "I",
                                         "No",  "GOOd",   "STRAßE",         "東京",
                                         "ß",   "A DOG b", "Ich bin in ROM", "... !",
                                         "\ufb01VE DOGS"};
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
    check_lower(english, "", "");
    check_lower(english, "THE STATION IS CLOSED. WHY?", "The station is closed. Why?");
    check_lower(english, "WHAT DID I SAY? I'M IN IT (I).", "What did I say? I'm in it (I).");
    check_lower(german, "WAR I IST", "War I ist");
    check_lower(german, "\"HALT!\" ÄPFEL UND ÖL", "\"Halt!\" Äpfel und öl");
    check_lower(english, "3.5 EGGS AT 8.30 AM ... NOW", "3.5 Eggs at 8.30 am ... Now");
    mega_capitals_free(english);
    mega_capitals_free(german);
}

/* Names, nouns and abbreviations have another spelling than the rest of a text. */
static void knows_the_words(void **state)
{
    MegaCapitals *english, *german;
    (void)state;
    assert_int_equal(mega_capitals_new(&english, "en", NULL), 0);
    assert_int_equal(mega_capitals_new(&german, "de", NULL), 0);
    check_lower(english, "IN THE USA", "In The USA"); /* only "The" is known */
    check_lower(english, "IS TV ON? TV!", "Is tv on? Tv!");
    check_lower(english, "IT IS OK", "It is ok");
    check_lower(german, "IST ÄPFEL IN HAUS?", "Ist äpfel in Haus?");
    check_lower(english, "A.B. ΑΘΗΝΑ  ДОМ", "A.B. ΑΘΗΝΑ  ДОМ");
    check_lower(german, "GROSSE STRASSE, MASSE, BOSS", "Große Straße, masse, Boss");
    check_lower(german, "STRASSENGROSSE SS", "STRASSENGROSSE SS");
    check_lower(english, "GROSSE", "GROSSE");
    mega_capitals_free(english);
    mega_capitals_free(german);
}

/* A letter by itself is a name, and a full stop after an abbreviation ends no sentence. */
static void knows_abbreviations(void **state)
{
    MegaCapitals *english, *german, *french;
    (void)state;
    assert_int_equal(mega_capitals_new(&english, "en", NULL), 0);
    assert_int_equal(mega_capitals_new(&german, "de", NULL), 0);
    assert_int_equal(mega_capitals_new(&french, "fr", NULL), 0);
    check_lower(english, "DID MR. I. SAY IT?", "Did Mr. I. say it?");
    check_lower(english, "IN ST. IT IS", "In St. it is");
    check_lower(english, "IT IS ON.", "It is on.");
    check_lower(english, "SAY NO. 5, NO. IT IS", "Say No. 5, NO. It is");
    check_lower(english, "IN U.S. IT IS VS. IT", "In U.S. it is vs. it");
    check_lower(english, "SAY A, VITAMIN A. IT IS C.", "Say a, VITAMIN A. it is C.");
    check_lower(english, "IT'S, IT\u2019S, T-TV", "It's, it\u2019s, T-tv");
    check_lower(german, "IST IT DR. S BZW. IT", "Ist it Dr. S bzw. it");
    check_lower(french, "IT A IS", "It a is");
    mega_capitals_free(english);
    mega_capitals_free(german);
    mega_capitals_free(french);
}

static int fail_to_count(void *context, const char *word, size_t size, size_t *count,
                         MegaError *err)
{
    (void)context;
    (void)word;
    (void)size;
    (void)count;
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory");
}

static void passes_an_error_on(void **state)
{
    MegaCapitals *capitals;
    MegaBuffer out = {0};
    (void)state;
    assert_int_equal(mega_capitals_new(&capitals, "en", NULL), 0);
    assert_int_equal(mega_capitals_lower(capitals, "NO NO", 5, fail_to_count, NULL, &out, NULL),
                     MEGA_ERR_MEMORY);
    mega_buffer_free(&out);
    mega_capitals_free(capitals);
}

static void raises(void **state)
{
    MegaCapitals *capitals;
    (void)state;
    assert_int_equal(mega_capitals_new(&capitals, "en", NULL), 0);
    check_raise(capitals, "", "");
    check_raise(capitals, "Ich weiß es, für 5 Äpfel.", "ICH WEISS ES, FÜR 5 ÄPFEL.");
    check_raise(capitals, "дом 東京 \xf0\x9f\x98\x80 ÿ", "ДОМ 東京 \xf0\x9f\x98\x80 Ÿ");
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
        knows_the_words(state);
        raises(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_capitals),
        cmocka_unit_test(lowers),
        cmocka_unit_test(knows_the_words),
        cmocka_unit_test(knows_abbreviations),
        cmocka_unit_test(passes_an_error_on),
        cmocka_unit_test(raises),
        cmocka_unit_test(ignores_the_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
