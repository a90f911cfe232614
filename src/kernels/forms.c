/*
 * forms.c - see forms.h.
 */
#include "src/kernels/forms.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "src/base/arena.h"
#include "src/base/checked.h"
#include "src/base/lock.h"

typedef struct Entry {
    MegaPacked weight;
    const char *form; /* in MegaForms.memory; NULL until it is made */
} Entry;

struct MegaForms {
    Entry *entries; /* sorted by the address of their panels when all forms are made */
    size_t count, capacity;
    MegaLock lock; /* for mega_forms_make */
    MegaArena memory;
    atomic_bool is_made;
};

MegaForms *mega_forms_new(void)
{
    MegaForms *forms = calloc(1, sizeof *forms);
    if (forms)
        mega_lock_init(&forms->lock);
    return forms;
}

void mega_forms_free(MegaForms *forms)
{
    if (!forms)
        return;
    mega_lock_free(&forms->lock);
    mega_arena_free(&forms->memory);
    free(forms->entries);
    free(forms);
}

/* If there is no memory for the entry, the matrix has no prepared form, and every product splits
 * its weights anew. */
void mega_forms_note(MegaForms *forms, const MegaPacked *weight)
{
    if (!forms || mega_dtype_quantized(weight->dtype))
        return;
    if (forms->count == forms->capacity) {
        const size_t capacity = 2 * forms->capacity + 64;
        Entry *entries = realloc(forms->entries, capacity * sizeof *entries);
        if (!entries)
            return;
        forms->entries = entries;
        forms->capacity = capacity;
    }
    forms->entries[forms->count++] = (Entry){.weight = *weight};
}

static uint64_t panel_bytes(const MegaPacked *weight)
{
    return mega_packed_bytes(weight->dtype, MEGA_PANEL, weight->in);
}

static uint64_t form_bytes(const MegaPacked *weight)
{
    return mega_pieces(weight->out, MEGA_PANEL) * mega_form_panel_bytes(weight->in);
}

uint64_t mega_forms_bytes(const MegaForms *forms)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < forms->count; i++)
        bytes += form_bytes(&forms->entries[i].weight);
    return bytes;
}

static int compare_entries(const void *a, const void *b)
{
    const char *left = ((const Entry *)a)->weight.panels;
    const char *right = ((const Entry *)b)->weight.panels;
    return left < right ? -1 : left > right;
}

int mega_forms_make(MegaForms *forms, const MegaKernels *kernels, MegaError *err)
{
    int code = 0;
    mega_lock(&forms->lock);
    if (forms->count > 0 && !atomic_load(&forms->is_made)) {
        code = mega_arena_reserve(&forms->memory, (size_t)mega_forms_bytes(forms), err);
        qsort(forms->entries, forms->count, sizeof(Entry), compare_entries);
        for (size_t i = 0; i < forms->count && !code; i++) {
            Entry *entry = &forms->entries[i];
            char *form = mega_arena_take(&forms->memory, form_bytes(&entry->weight));
            kernels->prepare(&entry->weight, form);
            entry->form = form;
        }
        atomic_store(&forms->is_made, code == 0);
    }
    mega_unlock(&forms->lock);
    return code;
}

const void *mega_forms_find(const MegaForms *forms, const void *panels)
{
    const char *at = panels;
    if (!forms || !atomic_load(&forms->is_made))
        return NULL;
    size_t first = 0, end = forms->count;
    while (first < end) { /* finds the first entry whose panels begin after `at` */
        const size_t middle = first + (end - first) / 2;
        if ((const char *)forms->entries[middle].weight.panels <= at)
            first = middle + 1;
        else
            end = middle;
    }
    if (first == 0)
        return NULL;
    const Entry *entry = &forms->entries[first - 1];
    const MegaPacked *weight = &entry->weight;
    const size_t panel = (size_t)(at - (const char *)weight->panels) / (size_t)panel_bytes(weight);
    if (panel * MEGA_PANEL >= weight->out)
        return NULL;
    return entry->form + panel * mega_form_panel_bytes(weight->in);
}
