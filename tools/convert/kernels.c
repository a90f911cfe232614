/*
 * kernels.c - see kernels.h.
 */
#include "tools/convert/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/layers/s4.h"
#include "src/layers/s4_config.h"

/* The state spaces of some layers. */
typedef struct Spaces {
    const Items *items;
    const char *prefix;     /* of the names of their tensors */
    MegaS4Weights *weights; /* [layers], of which other tensors are NULL */
    float **owned;          /* [count] */
    size_t count;
} Spaces;

static const Item *find_item(const Items *items, const char *name)
{
    for (size_t i = 0; i < items->count; i++)
        if (strcmp(items->items[i].spec.name, name) == 0)
            return &items->items[i];
    return NULL;
}

static int read_tensor(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Spaces *spaces = context;
    if (strncmp(spec->name, spaces->prefix, strlen(spaces->prefix)) != 0 ||
        !strstr(spec->name, ".ssm.") || spec->kept)
        return 0;
    const Item *item = find_item(spaces->items, spec->name);
    float **grown = realloc(spaces->owned, (spaces->count + 1) * sizeof *grown);
    float *values = malloc((size_t)spec->elements * sizeof *values);
    if (grown)
        spaces->owned = grown;
    if (!item || !grown || !values) {
        free(values);
        return item ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for tensor '%s'", spec->name)
                    : mega_fail(err, MEGA_ERR_MODEL, "tensor '%s' is missing", spec->name);
    }
    spaces->owned[spaces->count++] = values;
    *spec->slot = values;
    return item_read(spaces->items, item, values, err);
}

static void free_spaces(Spaces *spaces)
{
    for (size_t i = 0; i < spaces->count; i++)
        free(spaces->owned[i]);
    free(spaces->owned);
    free(spaces->weights);
}

/* Reads the state spaces of the layers whose tensors have this prefix. Free *out also after an
 * error. */
static int read_spaces(Spaces *out, const MegaConfig *config, const Items *items,
                       const char *prefix, MegaError *err)
{
    *out = (Spaces){.items = items, .prefix = prefix};
    out->weights = calloc((size_t)config->encoder.layers, sizeof *out->weights);
    MegaWeights *weights = calloc(1, sizeof *weights);
    int code = out->weights && weights
                   ? 0
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d layers",
                               config->encoder.layers);
    if (!code) {
        weights->layers = out->weights;
        code = mega_tensors_each(config, weights, read_tensor, out, err);
    }
    free(weights);
    return code;
}

int kernels_choose(MegaConfig *config, const Items *items, long length, MegaError *err)
{
    MegaStackConfig *stack = &config->encoder;
    Spaces spaces;
    size_t lags = 0;
    if (!mega_config_has_encoder(config) || mega_stack_kind(stack) != &mega_layer_kind_s4)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "--keep-kernels is for layers of S4, of which this model has none");
    mega_s4_of(stack)->kernel_lags = 0;
    if (length == 0)
        return 0;
    int code = read_spaces(&spaces, config, items, "encoder.layer.", err);
    for (int i = 0; i < (stack->tied_layers ? 1 : stack->layers) && !code; i++) {
        const size_t own = mega_s4_kernel_lags(stack, &spaces.weights[i], (size_t)length);
        lags = own > lags ? own : lags;
    }
    free_spaces(&spaces);
    if (!code && lags > MEGA_MAX_LENGTH)
        code = mega_fail(err, MEGA_ERR_LIMIT, "kernels of %zu lags are too long to be kept", lags);
    if (!code)
        mega_s4_of(stack)->kernel_lags = (int)lags;
    return code;
}

int kernels_make(const Items *items, const Item *item, float *values, MegaError *err)
{
    const MegaConfig *config = items->config;
    const size_t lags = (size_t)item->spec.shape[2];
    MegaPool *pool = NULL;
    Spaces spaces;
    char prefix[sizeof item->spec.name];
    int index = 0;
    snprintf(prefix, sizeof prefix, "%s", item->spec.name);
    *strstr(prefix, "ssm.") = '\0';
    sscanf(prefix, "encoder.layer.%d", &index);
    int code = read_spaces(&spaces, config, items, prefix, err);
    if (!code)
        code = mega_pool_new(&pool, 0, err);
    if (!code) {
        const MegaSsm ssm = mega_s4_space(&config->encoder, &spaces.weights[index]);
        code = mega_ssm_kernels(&ssm, lags, 1, pool, values, lags, err);
    }
    mega_pool_free(pool);
    free_spaces(&spaces);
    return code;
}

uint64_t kernels_memory(const Items *items, const Item *item)
{
    const MegaS4Weights none = {0};
    MegaSsm ssm = mega_s4_space(&items->config->encoder, &none);
    const uint64_t lags = item->spec.shape[2];
    /* a layer's own length is not known here; one that fits needs the least */
    ssm.length = ssm.length ? ssm.length : lags;
    MegaPool *pool = NULL;
    const int threads = mega_pool_new(&pool, 0, NULL) ? 1 : mega_pool_threads(pool);
    mega_pool_free(pool);
    return mega_ssm_kernels_memory(&ssm, lags, 1, threads);
}
