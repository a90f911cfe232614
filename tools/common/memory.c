/*
 * memory.c - see memory.h.
 */
#include "tools/common/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads the kernel's own count, since getrusage starts from the size of the process that started
 * this one. */
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

bool parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "kMGT";
    char *end;
    const double number = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
    double factor = 1;
    for (const char *u = units; unit && u <= unit; u++)
        factor *= 1000;
    /* strtod would skip blanks, and take "inf" */
    if (text[0] == '\0' || !strchr("0123456789.", text[0]) || end == text || (*end && !unit) ||
        (unit && end[1]) || !(number * factor >= 1) || number * factor > 1e18)
        return false;
    *bytes = (uint64_t)(number * factor);
    return true;
}
