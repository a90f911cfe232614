/*
 * roofline.c - see roofline.h. The counts follow MODEL.md. They leave out everything that is
 * neither a matrix product, an EMA state nor an attention weight, so the limit is never too strict.
 */
#include "tools/run/roofline.h"

#include <stdlib.h>
#include <string.h>

#include "src/layers/embed.h"
#include "tools/common/progress.h"

#define PROBE_BYTES (128u << 20) /* bytes that a probe reads, more than fit in any cache */
#define REPEATS 20
#define LEAST_REPEATS 3
/* seconds for all repeats together, unless the least number of them takes longer */
#define PROBE_SECONDS 0.3
#define ROUNDS_SECONDS                                                                             \
    0.005 /* seconds of one repeat; with sanitizers or an emulator, fewer rounds fill it */

typedef struct Probe {
    const MegaKernels *kernels;
    const float *memory;
    size_t floats; /* floats that one task reads */
    size_t rounds; /* rounds of arithmetic */
    volatile float sink;
} Probe;

static void probe_arithmetic(void *context, size_t task, int worker)
{
    Probe *probe = context;
    (void)worker;
    probe->sink = probe->kernels->probe_arithmetic(probe->rounds, 0.5f + 1e-9f * (float)task);
}

static void probe_integers(void *context, size_t task, int worker)
{
    Probe *probe = context;
    (void)worker, (void)task;
    probe->sink = (float)probe->kernels->integer.probe(probe->rounds, 0);
}

static void probe_memory(void *context, size_t task, int worker)
{
    Probe *probe = context;
    (void)worker;
    probe->sink = probe->kernels->probe_memory(probe->memory + task * probe->floats,
                                               probe->floats);
}

/* Returns the seconds of the fastest of several runs of `tasks` tasks. */
static double fastest(MegaPool *pool, size_t tasks, MegaPoolTask run, Probe *probe)
{
    double best = 0, all = 0;
    for (int i = 0; i < REPEATS && (i < LEAST_REPEATS || all < PROBE_SECONDS); i++) {
        double begun = clock_seconds();
        mega_pool_run(pool, tasks, run, probe);
        double took = clock_seconds() - begun;
        all += took;
        best = i == 0 || took < best ? took : best;
    }
    return best;
}

/* Returns operations a second, where every lane does `per_lane` operations a round. */
static double operations(MegaPool *pool, MegaPoolTask run, Probe *probe, double per_lane)
{
    size_t tasks = (size_t)mega_pool_threads(pool);
    double took = 0;
    for (probe->rounds = 1000; took < ROUNDS_SECONDS; probe->rounds *= 2) {
        double begun = clock_seconds();
        mega_pool_run(pool, tasks, run, probe);
        took = clock_seconds() - begun;
    }
    return per_lane * MEGA_PROBE_VECTORS * probe->kernels->lanes * (double)probe->rounds *
           (double)tasks / fastest(pool, tasks, run, probe);
}

int machine_measure(Machine *out, const MegaKernels *kernels, MegaPool *pool, MegaError *err)
{
    size_t threads = (size_t)mega_pool_threads(pool);
    float *memory = malloc(PROBE_BYTES);
    Probe probe = {.kernels = kernels, .memory = memory,
                   .floats = PROBE_BYTES / sizeof(float) / (4 * threads)};
    if (!memory)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory to measure its speed");
    memset(memory, 1, PROBE_BYTES);
    out->threads = (int)threads;
    double flops = operations(pool, probe_arithmetic, &probe, 2);
    double int8_ops = operations(pool, probe_integers, &probe, 8);
    double bandwidth = (double)(probe.floats * 4 * threads * sizeof(float)) /
                       fastest(pool, 4 * threads, probe_memory, &probe);
    out->flops = flops > out->flops ? flops : out->flops;
    out->int8_ops = int8_ops > out->int8_ops ? int8_ops : out->int8_ops;
    out->bandwidth = bandwidth > out->bandwidth ? bandwidth : out->bandwidth;
    free(memory);
    return 0;
}

/* ---- Counting ------------------------------------------------------------------------------- */

/* Makes the work from counts of multiply-adds: `products` are those with weights, `rest` all
 * others. */
static Work make_work(WeightType weight, double products, double rest, double bytes)
{
    return (Work){.flops = 2 * (weight.integers ? rest : rest + products),
                  .int8_ops = weight.integers ? 2 * products : 0,
                  .bytes = bytes};
}

Work work_encode(const MegaConfig *config, WeightType weight, size_t length, size_t count)
{
    const MegaStackConfig *s = &config->encoder;
    const MegaLayerWork layer = mega_layer_work(s);
    const size_t chunk = (size_t)mega_stack_reach(config, s).chunk;
    double keys = (double)(chunk > 0 && chunk < length ? chunk : length);
    double weights = s->layers * layer.products, positions = (double)length * (double)count;
    double rest = s->layers * (layer.rest + keys * layer.per_key), products = weights;
    if (config->embed.kind == MEGA_EMBED_FRAMES || config->embed.kind == MEGA_EMBED_PATCHES)
        products += (double)mega_embed_fan_in(&config->embed) * s->width;
    return make_work(weight, products * positions, rest * positions, weight.bytes * weights);
}

static double output_weights(const MegaTargetConfig *target)
{
    const MegaClusters *clusters = &target->output;
    double others = target->adaptive_output ? clusters->count - 1 : 0;
    return (clusters->end[0] + others) * clusters->width[0]; /* tail clusters can be left out */
}

Work work_decode(const MegaConfig *config, WeightType weight, size_t rows, size_t position,
                 size_t source)
{
    const MegaStackConfig *s = &config->decoder;
    const MegaLayerWork layer = mega_layer_work(s);
    const size_t chunk = (size_t)mega_stack_reach(config, s).chunk;
    double keys = (double)(chunk > 0 ? position % chunk : position) + 1;
    double products = s->layers * layer.products + output_weights(&config->target);
    double rest = s->layers * (layer.rest + keys * layer.per_key);
    /* keys and values are read from memory; the other states stay in the caches */
    double states = s->layers * keys * layer.per_key;
    if (mega_config_has_cross(config)) {
        products += s->layers * layer.cross_products;
        rest += s->layers * (double)source * layer.cross_per_key;
    }
    return make_work(weight, (double)rows * products, (double)rows * rest,
                     weight.bytes * products + sizeof(float) * (double)rows * states);
}

Work work_read(const MegaConfig *config, WeightType weight, size_t length)
{
    const MegaStackConfig *s = &config->decoder;
    const MegaLayerWork layer = mega_layer_work(s);
    const size_t chunk = (size_t)mega_stack_reach(config, s).chunk;
    /* a token attends to those before it alone, so to half of its chunk on average */
    double keys = ((double)(chunk > 0 && chunk < length ? chunk : length) + 1) / 2;
    double weights = s->layers * layer.products, positions = (double)length;
    return make_work(weight, weights * positions,
                     s->layers * (layer.rest + keys * layer.per_key) * positions,
                     weight.bytes * weights);
}

double work_limit(const Machine *machine, Work work)
{
    double compute = work.flops / machine->flops + work.int8_ops / machine->int8_ops;
    double memory = work.bytes / machine->bandwidth;
    return compute > memory ? compute : memory;
}
