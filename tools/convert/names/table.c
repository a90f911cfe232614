/*
 * table.c - see table.h.
 */
#include "tools/convert/names/table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Matches a name with a pattern. Returns the rest of the name, which is empty unless the pattern
 * ends with a dot, or NULL if it does not match. *number is the number that '*' matched. */
static const char *match(const char *pattern, const char *name, long *number)
{
    const char *begin = pattern;
    for (; *pattern; pattern++) {
        if (*pattern == '*' && isdigit((unsigned char)*name)) {
            char *end;
            *number = strtol(name, &end, 10);
            name = end;
        } else if (*name++ != *pattern) {
            return NULL;
        }
    }
    const bool open = pattern > begin && pattern[-1] == '.';
    return open || !*name ? name : NULL;
}

static void append(TensorPlace *place, const char *text, long number)
{
    for (; *text; text++) {
        size_t used = strlen(place->name), size = sizeof place->name - used;
        if (*text == '*' || *text == '-')
            snprintf(place->name + used, size, "%ld", *text == '*' ? number : number - 1);
        else
            snprintf(place->name + used, size, "%c", *text);
    }
}

static bool follow(const NameRule *rules, const MegaConfig *config, const MegaStackConfig *stack,
                   const char *name, TensorPlace *place)
{
    for (const NameRule *rule = rules; rule->ours; rule++) {
        long number = 0;
        const char *rest = match(rule->ours, name, &number);
        if (!rest || (rule->when && !rule->when(config)))
            continue;
        append(place, rule->theirs, number);
        if (rule->rows)
            rule->rows(stack, place);
        place->transposed = rule->transposed;
        if (rule->rest)
            return follow(rule->rest, config, stack, rest, place);
        append(place, rest, 0);
        return true;
    }
    return false;
}

bool name_table_find(const NameRule *table, const MegaConfig *config, const char *canonical,
                     TensorPlace *out)
{
    const bool decoder = strncmp(canonical, "decoder.", 8) == 0;
    *out = (TensorPlace){0};
    return follow(table, config, decoder ? &config->decoder : &config->encoder, canonical, out);
}
