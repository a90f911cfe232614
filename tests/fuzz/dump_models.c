/*
 * dump_models.c - writes random valid models (random_model.h) for tests/fuzz/commands. The call
 * dump_models FOLDER FIRST COUNT writes FOLDER/<number>.mega for COUNT numbers from FIRST on. A
 * number always gives the same model. Models that would be too large are left out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/random_model.h"

static int write_model(const char *folder, unsigned number)
{
    char path[4096], seed[16];
    const int length = snprintf(seed, sizeof seed, "%u", number);
    Dice dice = dice_new((const uint8_t *)seed, (size_t)length);
    size_t size;
    uint8_t *bytes = random_model_bytes(&dice, &size);
    if (!bytes)
        return 0;
    snprintf(path, sizeof path, "%s/%u.mega", folder, number);
    FILE *file = fopen(path, "wb");
    const bool written = file && fwrite(bytes, 1, size, file) == size;
    if ((file && fclose(file)) || !written) {
        perror(path);
        free(bytes);
        return 1;
    }
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "Usage: dump_models FOLDER FIRST COUNT\n");
        return 2;
    }
    const unsigned first = (unsigned)strtoul(argv[2], NULL, 10);
    const unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    for (unsigned i = 0; i < count; i++)
        if (write_model(argv[1], first + i))
            return 1;
    return 0;
}
