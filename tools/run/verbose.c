/*
 * verbose.c - see verbose.h.
 */
#include "tools/run/verbose.h"

#include <stdio.h>

#include "tools/common/memory.h"
#include "tools/run/options.h"

void verbose_model(const char *path, const MegaModel *model, const MegaKernels *kernels,
                   int threads, double seconds)
{
    report("%s: %s, %llu parameters, loaded in %.1f ms; kernels %s, %d thread%s", path,
           mega_task_traits(mega_model_task(model))->model,
           (unsigned long long)mega_model_parameter_count(model), 1e3 * seconds, kernels->name,
           threads, threads == 1 ? "" : "s");
}

void verbose_session(const char *path, const MegaSession *session, double seconds)
{
    verbose_model(path, session->model, session->kernels, mega_pool_threads(session->pool),
                  seconds);
}

void verbose_end(uint64_t done, const char *unit, double seconds)
{
    report("%llu %s%s in %.3f s (%.4g a second), peak memory %.1f MB",
           (unsigned long long)done, unit, done == 1 ? "" : "s", seconds,
           seconds > 0 ? (double)done / seconds : 0, peak_megabytes());
}

void verbose_times(double loading, double reading, double running)
{
    fprintf(stderr, "load %.1f ms, read %.1f ms, run %.1f ms\n", 1e3 * loading, 1e3 * reading,
            1e3 * running);
}
