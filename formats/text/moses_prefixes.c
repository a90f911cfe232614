/*
 * moses_prefixes.c - lists abbreviations after which a full stop does not end a sentence: the
 * "non-breaking prefixes" of Moses, from sacremoses 0.2 (MIT licence). Those of the second list
 * count only before a number.
 */
#include "formats/text/moses_prefixes.h"

#include <string.h>

static const char *const en_prefixes[] = {
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S",
    "T", "U", "V", "W", "X", "Y", "Z", "Adj", "Adm", "Adv", "Asst", "Bart", "Bldg", "Brig", "Bros",
    "Capt", "Cmdr", "Col", "Comdr", "Con", "Corp", "Cpl", "DR", "Dr", "Drs", "Ens", "Gen", "Gov",
    "Hon", "Hr", "Hosp", "Insp", "Lt", "MM", "MR", "MRS", "MS", "Maj", "Messrs", "Mlle", "Mme",
    "Mr", "Mrs", "Ms", "Msgr", "Op", "Ord", "Pfc", "Ph", "Prof", "Pvt", "Rep", "Reps", "Res",
    "Rev", "Rt", "Sen", "Sens", "Sfc", "Sgt", "Sr", "St", "Supt", "Surg", "v", "vs", "i.e", "rev",
    "e.g", "Rs", "Nos", "Nr", "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
    "Dec", NULL};
static const char *const en_numeric[] = {"No", "Art", "pp", NULL};
static const char *const de_prefixes[] = {
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S",
    "T", "U", "V", "W", "X", "Y", "Z", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l",
    "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "II", "III", "IV", "VI",
    "VII", "VIII", "IX", "XI", "XII", "XIII", "XIV", "XV", "XVI", "XVII", "XVIII", "XIX", "XX",
    "ii", "iii", "iv", "vi", "vii", "viii", "ix", "xi", "xii", "xiii", "xiv", "xv", "xvi", "xvii",
    "xviii", "xix", "xx", "Adj", "Adm", "Adv", "Asst", "Bart", "Bldg", "Brig", "Bros", "Capt",
    "Cmdr", "Col", "Comdr", "Con", "Corp", "Cpl", "DR", "Dr", "Ens", "Gen", "Gov", "Hon", "Hosp",
    "Insp", "Lt", "MM", "MR", "MRS", "MS", "Maj", "Messrs", "Mlle", "Mme", "Mr", "Mrs", "Ms",
    "Msgr", "Op", "Ord", "Pfc", "Ph", "Prof", "Pvt", "Rep", "Reps", "Res", "Rev", "Rt", "Sen",
    "Sens", "Sfc", "Sgt", "Sr", "St", "Supt", "Surg", "Mio", "Mrd", "bzw", "vs", "usw", "d.h",
    "z.B", "u.a", "etc", "MwSt", "ggf", "d.J", "D.h", "m.E", "vgl", "I.F", "z.T", "sogen", "ff",
    "u.E", "g.U", "g.g.A", "c.-à-d", "Buchst", "u.s.w", "sog", "u.ä", "Std", "evtl", "Zt", "Chr",
    "u.U", "o.ä", "Ltd", "b.A", "z.Zt", "spp", "sen", "SA", "k.o", "jun", "i.H.v", "dgl", "dergl",
    "Co", "zzt", "usf", "s.p.a", "Dkr", "bzgl", "BSE", "No", "Nos", "Art", "Nr", "pp", "ca", "Ca",
    NULL};

static bool contains(const char *const *list, const char *word, size_t length)
{
    for (; *list; list++)
        if (strlen(*list) == length && memcmp(*list, word, length) == 0)
            return true;
    return false;
}

/* Returns whether a word is a German ordinal, "1." to "99.", here without its stop. */
static bool is_ordinal(const char *word, size_t length)
{
    return length >= 1 && length <= 2 && word[0] >= '1' && word[0] <= '9' &&
           (length == 1 || (word[1] >= '0' && word[1] <= '9'));
}

bool mega_moses_is_prefix(const char *language, const char *word, size_t length)
{
    /* As in Moses, languages without a list of their own use the English one. */
    if (strcmp(language, "de") == 0)
        return contains(de_prefixes, word, length) || is_ordinal(word, length);
    return contains(en_prefixes, word, length);
}

bool mega_moses_is_numeric_prefix(const char *language, const char *word, size_t length)
{
    return strcmp(language, "de") != 0 && contains(en_numeric, word, length);
}
