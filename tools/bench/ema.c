/*
 * ema.c - times both ways through the EMA for many lengths and truncations on one thread, and marks
 * the one that the planner takes. The constants of choose_path in src/layers/ema.c come from its
 * table.
 *
 *     make bench && build/bench/ema
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/layers/ema.h"

#define WIDTH 64

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Returns the best of several runs, in nanoseconds per channel. */
static double measure(const MegaStackConfig *config, size_t length, MegaEmaPath path,
                      MegaEmaPath *taken)
{
    size_t params = 2 * WIDTH * (size_t)mega_gated(config)->ndim;
    float *values = calloc(params + WIDTH, sizeof *values);
    float *x = calloc(length * WIDTH, sizeof *x), *y = calloc(length * WIDTH, sizeof *y);
    MegaEmaWeights weights = {values, values, values, values, values};
    MegaArena dry = {0}, arena = {0}, scratch = {0};
    MegaEmaPlan plan = {0};
    MegaPool *pool = NULL;
    MegaEma ema;
    double best = 1e30;
    for (size_t i = 0; x && i < length * WIDTH; i++)
        x[i] = (float)(rand() % 1000) * 1e-3f;
    mega_ema_prepare(&ema, config, &weights, &dry);
    if (!values || !x || !y || mega_arena_reserve(&arena, dry.used, NULL) ||
        mega_pool_new(&pool, 1, NULL) || mega_ema_plan(&plan, config, length, path, NULL) ||
        mega_arena_reserve(&scratch, mega_ema_scratch(&plan) * sizeof(float), NULL)) {
        fprintf(stderr, "ema: no memory\n");
        exit(1);
    }
    mega_ema_prepare(&ema, config, &weights, &arena);
    *taken = plan.path;
    double until = seconds() + 0.1;
    do {
        double begin = seconds();
        mega_ema_run(&plan, &ema,
                     &(MegaEmaRun){.kernels = mega_kernels(), .pool = pool,
                                   .begin = (size_t[]){0, length}, .sequences = 1, .x = x, .y = y,
                                   .scratch = (float *)(void *)scratch.base});
        double took = seconds() - begin;
        best = took < best ? took : best;
    } while (seconds() < until);
    mega_ema_plan_free(&plan);
    mega_pool_free(pool);
    mega_arena_free(&arena);
    mega_arena_free(&scratch);
    free(values);
    free(x);
    free(y);
    return best * 1e9 / WIDTH;
}

int main(void)
{
    static const int truncations[] = {0, 100, 1000, 4096}, states[] = {4, 16};
    static const size_t lengths[] = {64, 250, 1000, 4000, 16000, 64000};
    printf("kernels: %s; nanoseconds per channel and position, both directions\n\n",
           mega_kernels()->name);
    printf("|  N | truncation | length | recurrent |   FFT | planner takes |\n");
    printf("|---:|---:|---:|---:|---:|---|\n");
    for (size_t n = 0; n < sizeof states / sizeof states[0]; n++)
        for (size_t t = 0; t < sizeof truncations / sizeof truncations[0]; t++)
            for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
                MegaStackConfig config = mega_with_gated(
                    (MegaStackConfig){.width = WIDTH, .bidirectional = true},
                    (MegaGatedConfig){.ndim = states[n], .truncation = truncations[t]});
                MegaEmaPath taken, ignored;
                double length = (double)lengths[l];
                double recurrent = measure(&config, lengths[l], MEGA_EMA_RECURRENT, &ignored);
                double fft = measure(&config, lengths[l], MEGA_EMA_FFT, &ignored);
                measure(&config, lengths[l], MEGA_EMA_AUTO, &taken);
                printf("| %2d | %5d | %6zu | %6.2f | %6.2f | %s |\n", states[n], truncations[t],
                       lengths[l], recurrent / length, fft / length,
                       taken == MEGA_EMA_FFT ? "FFT" : "recurrent");
            }
    return 0;
}
