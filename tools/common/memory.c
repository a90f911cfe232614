/*
 * memory.c - see memory.h.
 */
#include "tools/common/memory.h"

#include <stdio.h>

/* From the kernel's own count: getrusage would begin with the size of the process that started this
 * one. */
double peak_megabytes(void)
{
    char line[128];
    double kibibytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %lf", &kibibytes) == 1)
            break;
    if (status)
        fclose(status);
    return kibibytes * 1024 / 1e6;
}
