/*
 * checkpoint_dump.c - prints the tensors that our readers find in checkpoints, for checkpoints.py:
 *
 *     checkpoint_dump < PATHS
 *
 * For each path, one a line, it prints "ok", one line for each tensor (name in hexadecimal, shape,
 * CRC of the elements as float32) and "end"; or "error SENTENCE".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/checkpoint/checkpoint.h"

#define MAX_ELEMENTS (1u << 24)

static int print_tensor(const MegaCheckpoint *checkpoint, const MegaCheckpointTensor *tensor,
                        MegaError *err)
{
    int code = mega_checkpoint_verify(checkpoint, tensor, err);
    if (code)
        return code;
    if (!tensor->readable)
        return 0;
    if (tensor->elements > MAX_ELEMENTS)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s is too large to be compared", tensor->name);
    float *values = malloc((tensor->elements + 1) * sizeof *values);
    if (!values)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", tensor->name);
    mega_checkpoint_read_f32(tensor, values);
    printf("tensor ");
    for (const char *at = tensor->name; *at; at++)
        printf("%02x", (unsigned char)*at);
    printf(" [");
    for (int axis = 0; axis < tensor->rank; axis++)
        printf("%s%" PRIu64, axis ? "," : "", tensor->shape[axis]);
    printf("] %08lx\n",
           crc32_z(0, (const unsigned char *)values, tensor->elements * sizeof *values));
    free(values);
    return 0;
}

static void dump(const char *path)
{
    MegaError err = {0};
    MegaCheckpoint *checkpoint = NULL;
    int code = mega_checkpoint_open(&checkpoint, path, &(MegaCheckpointOptions){0}, &err);
    if (!code)
        puts("ok");
    for (size_t i = 0; !code && i < mega_checkpoint_count(checkpoint); i++)
        code = print_tensor(checkpoint, mega_checkpoint_tensor(checkpoint, i), &err);
    if (code)
        printf("error %s\n", err.text);
    else
        puts("end");
    mega_checkpoint_close(checkpoint);
    fflush(stdout);
}

int main(void)
{
    char path[4096];
    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = '\0';
        dump(path);
    }
    return ferror(stdin) != 0;
}
