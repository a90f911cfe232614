/*
 * names.c - see names.h.
 */
#include "tools/convert/names/names.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- Parts of names ------------------------------------------------------------------------- */

static bool is_word(const char *part, size_t length, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(words[i]) == length && memcmp(words[i], part, length) == 0)
            return true;
    return false;
}

/* Returns whether a part of a name comes from a wrapper. In the middle of a name it wraps a part of
 * the model, in front it wraps the whole. */
static bool is_wrapper(const char *part, size_t length)
{
    static const char *const words[] = {
        "_orig_mod",      "module", "_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
        "_forward_module"};
    return is_word(part, length, words, COUNT(words));
}

/* Returns whether a part of a name belongs to the model itself. */
static bool is_of_model(const char *part, size_t length)
{
    static const char *const words[] = {"encoder", "decoder", "mega"};
    return is_word(part, length, words, COUNT(words));
}

/* Returns whether a part usually stands in front of the only model of a checkpoint. */
static bool is_usual(const char *part, size_t length)
{
    static const char *const words[] = {"model", "net", "network", "student", "backbone"};
    return is_word(part, length, words, COUNT(words));
}

/* Returns whether every part of a prefix, each of which ends with a dot, passes a test; *parts is
 * the number of parts. */
static bool all_parts(const char *prefix, bool (*test)(const char *, size_t), int *parts)
{
    bool all = true;
    *parts = 0;
    for (const char *dot; (dot = strchr(prefix, '.')); prefix = dot + 1, ++*parts)
        all &= test(prefix, (size_t)(dot - prefix));
    return all;
}

static bool is_no_part_of_model(const char *part, size_t length)
{
    return length > 0 && !is_of_model(part, length);
}

/* Copies a name without wrappers and returns the end of the copy, after its NUL. */
static char *unwrap(const char *name, char *out)
{
    for (const char *dot; (dot = strchr(name, '.')); name = dot + 1)
        if (!is_wrapper(name, (size_t)(dot - name))) {
            memcpy(out, name, (size_t)(dot - name) + 1);
            out += dot - name + 1;
        }
    size_t length = strlen(name) + 1;
    memcpy(out, name, length);
    return out + length;
}

/* ---- Prefixes ------------------------------------------------------------------------------- */

typedef struct Prefix {
    char text[NAMES_MAX_PREFIX];
    int mark; /* the first mark that stands after this prefix */
    int parts;
    bool within; /* a part of it, such as "encoder.", may belong to the model */
    bool usual, averaged;
} Prefix;

typedef struct Prefixes {
    Prefix items[NAMES_MAX_PREFIXES];
    size_t count;
} Prefixes;

static void add_prefix(Prefixes *prefixes, const char *name, size_t length, int mark)
{
    Prefix new = {.mark = mark};
    if (length >= sizeof new.text)
        return;
    memcpy(new.text, name, length);
    new.within = !all_parts(new.text, is_no_part_of_model, &new.parts);
    for (size_t i = 0; i < prefixes->count; i++)
        if (strcmp(prefixes->items[i].text, new.text) == 0) {
            if (mark < prefixes->items[i].mark)
                prefixes->items[i].mark = mark;
            return;
        }
    if (prefixes->count == NAMES_MAX_PREFIXES)
        return;
    new.usual = all_parts(new.text, is_usual, &new.parts);
    new.averaged = mega_checkpoint_is_average(new.text, length);
    prefixes->items[prefixes->count++] = new;
}

/* Collects the prefixes: whatever stands before a mark in a name. */
static void collect(Prefixes *prefixes, const Names *names, const char *const *marks, int count)
{
    for (size_t i = 0; i < names->count; i++)
        for (int m = 0; m < count; m++) {
            const char *name = names->items[i].name;
            size_t length = strlen(name), mark = strlen(marks[m]);
            if (length < mark || strcmp(name + length - mark, marks[m]) != 0)
                continue;
            if (length == mark || name[length - mark - 1] == '.')
                add_prefix(prefixes, name, length - mark, m);
        }
}

/* Returns a negative number if a is the likelier prefix. A prefix without parts of the model is
 * likelier; of two with such parts, the one with the earlier mark; then one of usual parts only;
 * then the one with fewer parts. */
static int compare_prefixes(const Prefix *a, const Prefix *b)
{
    if (a->within != b->within)
        return a->within ? 1 : -1;
    if (a->within && a->mark != b->mark)
        return a->mark - b->mark;
    if (a->usual != b->usual)
        return a->usual ? -1 : 1;
    return a->parts - b->parts;
}

/* Returns the likeliest prefix of averages, or of the model's own weights; *rival is another one
 * that is as likely, or NULL. */
static const Prefix *choose(const Prefixes *prefixes, bool averaged, const Prefix **rival)
{
    const Prefix *best = NULL;
    *rival = NULL;
    for (size_t i = 0; i < prefixes->count; i++) {
        const Prefix *prefix = &prefixes->items[i];
        if (prefix->averaged != averaged)
            continue;
        int order = best ? compare_prefixes(prefix, best) : -1;
        *rival = order == 0 ? prefix : order < 0 ? NULL : *rival;
        best = order < 0 ? prefix : best;
    }
    return best;
}

/* ---- Names ---------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Name *)a)->name, ((const Name *)b)->name);
}

static int collect_names(Names *out, const MegaCheckpoint *checkpoint, MegaError *err)
{
    size_t count = mega_checkpoint_count(checkpoint), bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(mega_checkpoint_tensor(checkpoint, i)->name) + 1;
    out->items = calloc(count + 1, sizeof *out->items);
    out->text = malloc(bytes + 1);
    if (!out->items || !out->text)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the names of %zu tensors", count);
    char *at = out->text;
    for (size_t i = 0; i < count; i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        out->items[out->count++] = (Name){.name = at, .tensor = tensor};
        at = unwrap(tensor->name, at);
    }
    return 0;
}

static bool has_other_prefix(const Prefixes *prefixes, const Prefix *chosen, const char *name)
{
    for (size_t i = 0; i < prefixes->count; i++) {
        const Prefix *other = &prefixes->items[i];
        if (!other->within && strlen(other->text) > strlen(chosen->text) &&
            strncmp(name, other->text, strlen(other->text)) == 0)
            return true;
    }
    return false;
}

/* Keeps the names with the prefix, and removes the prefix from them. */
static int keep(Names *out, const Prefixes *prefixes, const Prefix *chosen, MegaError *err)
{
    size_t kept = 0, length = strlen(chosen->text);
    for (size_t i = 0; i < out->count; i++) {
        Name *item = &out->items[i];
        if (strncmp(item->name, chosen->text, length) != 0 ||
            has_other_prefix(prefixes, chosen, item->name))
            continue;
        out->items[kept++] = (Name){.name = item->name + length, .tensor = item->tensor};
    }
    out->count = kept;
    qsort(out->items, kept, sizeof *out->items, by_name);
    for (size_t i = 1; i < kept; i++)
        if (by_name(&out->items[i - 1], &out->items[i]) == 0)
            return mega_fail(err, MEGA_ERR_MODEL,
                             "tensors '%s' and '%s' have the same name without the wrappers' parts",
                             out->items[i - 1].tensor->name, out->items[i].tensor->name);
    return 0;
}

static int several_models(const char *first, const char *second, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "the checkpoint holds several models, under '%s' and '%s'; save the "
                     "state_dict of one of them",
                     first, second);
}

int names_find(Names *out, const MegaCheckpoint *checkpoint, const char *const *marks,
               int mark_count, MegaWeightSet weights, int *mark, MegaError *err)
{
    Prefixes prefixes = {0};
    const Prefix *rivals[2], *of[2]; /* [0] of the model's own weights, [1] of averages */
    *out = (Names){0};
    *mark = -1;
    if (mega_checkpoint_rival_place(checkpoint))
        return several_models(mega_checkpoint_place(checkpoint),
                              mega_checkpoint_rival_place(checkpoint), err);
    int code = collect_names(out, checkpoint, err);
    if (code)
        return code;
    collect(&prefixes, out, marks, mark_count);
    for (int averaged = 0; averaged < 2; averaged++)
        of[averaged] = choose(&prefixes, averaged, &rivals[averaged]);
    /* in a dict of averages, the prefix need not say so again */
    bool want = weights == MEGA_WEIGHTS_EMA && !mega_checkpoint_averaged(checkpoint);
    int kind = of[want] ? want : !want;
    if (!of[kind])
        return 0;
    if (rivals[kind])
        return several_models(of[kind]->text, rivals[kind]->text, err);
    *mark = of[kind]->mark;
    out->averaged = kind;
    memcpy(out->prefix, of[kind]->text, sizeof out->prefix);
    out->has_other = of[!kind] != NULL;
    if (out->has_other)
        memcpy(out->other, of[!kind]->text, sizeof out->other);
    return keep(out, &prefixes, of[kind], err);
}

void names_free(Names *names)
{
    free(names->items);
    free(names->text);
    *names = (Names){0};
}

const MegaCheckpointTensor *names_get(const Names *names, const char *name)
{
    const Name wanted = {.name = name};
    const Name *found =
        names->count ? bsearch(&wanted, names->items, names->count, sizeof wanted, by_name) : NULL;
    return found ? found->tensor : NULL;
}
