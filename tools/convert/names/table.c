/*
 * table.c - see table.h.
 */
#include "tools/convert/names/table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Matches a name with a pattern. Returns the rest of the name, which is empty unless the pattern
 * ends with a dot, or NULL if it does not match. *number is the number that '*' stands for. */
static const char *match(const char *pattern, const char *name, long *number)
{
    const char *begin = pattern;
    for (; *pattern; pattern++) {
        if ((*pattern == '*' || *pattern == '-') && isdigit((unsigned char)*name)) {
            char *end;
            *number = strtol(name, &end, 10) + (*pattern == '-');
            name = end;
        } else if (*name++ != *pattern) {
            return NULL;
        }
    }
    const bool open = pattern > begin && pattern[-1] == '.';
    return open || !*name ? name : NULL;
}

static void append(char *out, size_t size, const char *text, long number)
{
    for (; *text; text++) {
        size_t used = strlen(out);
        if (*text == '*' || *text == '-')
            snprintf(out + used, size - used, "%ld", *text == '*' ? number : number - 1);
        else
            snprintf(out + used, size - used, "%c", *text);
    }
}

/* The state of a search for a name, which all levels of rules share. */
typedef struct Search {
    const MegaConfig *config;
    const MegaStackConfig *stack;
    int skip; /* how many places to pass over */
} Search;

static bool follow(Search *search, const NameRule *rules, const char *name, TensorPlace *place)
{
    const TensorPlace before = *place;
    for (const NameRule *rule = rules; rule->ours; rule++) {
        long number = 0;
        const char *rest = match(rule->ours, name, &number);
        if (!rest || (rule->when && !rule->when(search->config)))
            continue;
        *place = before;
        append(place->name, sizeof place->name, rule->theirs, number);
        if (rule->rows)
            rule->rows(search->stack, place);
        place->transposed = rule->transposed;
        if (rule->rest && follow(search, rule->rest, rest, place))
            return true;
        if (rule->rest)
            continue;
        append(place->name, sizeof place->name, rest, 0);
        if (search->skip-- == 0)
            return true;
    }
    return false;
}

bool name_table_find(const NameRule *table, const MegaConfig *config, const char *canonical,
                     int alternative, TensorPlace *out)
{
    const bool decoder =
        strncmp(canonical, "decoder.", 8) == 0 || strncmp(canonical, "target.", 7) == 0;
    Search search = {.config = config, .stack = decoder ? &config->decoder : &config->encoder,
                     .skip = alternative};
    *out = (TensorPlace){0};
    return follow(&search, table, canonical, out);
}

bool shared_name(const SharedName *row, const char *name, char *other, size_t size)
{
    long number = 0;
    const bool first = match(row->name, name, &number) != NULL;
    if (!first && !match(row->other, name, &number))
        return false;
    other[0] = '\0';
    append(other, size, first ? row->other : row->name, number);
    return true;
}
