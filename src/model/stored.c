/*
 * stored.c - see stored.h.
 */
#include "src/model/stored.h"

#include <stdio.h>
#include <string.h>

#include "src/model/earlier.h"

static void describe_shape(const uint64_t *shape, int rank, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? " x " : "",
                                 (unsigned long long)shape[i]);
}

bool mega_stored_is_kept(const char *name)
{
    static const char end[] = ".ssm.kernel";
    const size_t length = strlen(name), size = sizeof end - 1;
    return length > size && strcmp(name + length - size, end) == 0;
}

int mega_stored_find(const MegaFile *file, const MegaConfig *config, const MegaTensorSpec *spec,
                     MegaStored *out, MegaError *err)
{
    *out = (MegaStored){0};
    snprintf(out->name, sizeof out->name, "%s", spec->name);
    if (config->tensor_layout == MEGA_EARLIER_LAYOUT)
        mega_earlier_place(config, out);
    out->tensor = mega_file_find(file, out->name);
    if (!out->tensor)
        return mega_fail(err, MEGA_ERR_MODEL, "%s: tensor '%s' is missing", mega_file_name(file),
                         out->name);
    uint64_t shape[MEGA_MAX_RANK] = {spec->shape[0], spec->shape[1], spec->shape[2],
                                     spec->shape[3]};
    if (out->transposed) {
        shape[0] = spec->shape[1];
        shape[1] = spec->shape[0];
    }
    if (out->whole_rows)
        shape[0] = out->whole_rows;
    if (out->tensor->rank != spec->rank ||
        memcmp(out->tensor->shape, shape, (size_t)spec->rank * sizeof *shape) != 0) {
        char found[96], expected[96];
        describe_shape(out->tensor->shape, out->tensor->rank, found, sizeof found);
        describe_shape(shape, spec->rank, expected, sizeof expected);
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s: tensor '%s' has shape %s, but the configuration implies %s",
                         mega_file_name(file), out->name, found, expected);
    }
    return 0;
}
