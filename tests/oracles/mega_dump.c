/*
 * mega_dump.c - prints what our reader finds in a .mega file, one line for each value or tensor, in
 * the form of read_mega.py: mega_dump FILE
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "formats/mega/mega_file.h"

/* Prints a number as its bits. Strings are printed in hexadecimal, so that nothing depends on how a
 * language prints values. */
static void print_bits(const void *value)
{
    uint64_t bits;
    memcpy(&bits, value, sizeof bits);
    printf(" %016" PRIx64, bits);
}

static void print_string(const char *text)
{
    putchar(' ');
    putchar('"');
    for (; *text; text++)
        printf("%02x", (unsigned char)*text);
}

static void print_value(const MegaMetaValue *value)
{
    printf("meta %s %d %" PRIu64, value->key, (int)value->type, value->count);
    for (uint64_t i = 0; i < value->count; i++)
        switch (value->type) {
        case MEGA_META_BOOL: printf(" %d", value->boolean); break;
        case MEGA_META_INT: print_bits(&value->integer); break;
        case MEGA_META_FLOAT: print_bits(&value->real); break;
        case MEGA_META_STRING: print_string(value->string); break;
        case MEGA_META_INTS: print_bits(&value->integers[i]); break;
        case MEGA_META_FLOATS: print_bits(&value->reals[i]); break;
        case MEGA_META_STRINGS: print_string(value->strings[i]); break;
        }
    putchar('\n');
}

static int print_tensor(const MegaFile *file, const MegaTensor *tensor, MegaError *err)
{
    void *bytes = malloc(tensor->size);
    int code = bytes ? mega_file_read(file, tensor, bytes, err)
                     : mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", tensor->name);
    if (!code) {
        printf("tensor %s %d", tensor->name, (int)tensor->dtype);
        for (int axis = 0; axis < tensor->rank; axis++)
            printf(" %" PRIu64, tensor->shape[axis]);
        printf(" %08lx\n", crc32_z(0, bytes, tensor->size));
    }
    free(bytes);
    return code;
}

int main(int argc, char **argv)
{
    MegaError err = {0};
    MegaFile *file = NULL;
    int code = argc == 2 ? mega_file_open(&file, argv[1], &err)
                         : mega_fail(&err, MEGA_ERR_ARGUMENT, "one file, please");
    const MegaMeta *meta = code ? NULL : mega_file_meta(file);
    for (size_t i = 0; !code && i < mega_meta_count(meta); i++)
        print_value(mega_meta_at(meta, i));
    for (size_t i = 0; !code && i < mega_file_tensor_count(file); i++)
        code = print_tensor(file, mega_file_tensor(file, i), &err);
    if (!code)
        code = mega_file_verify(file, &err);
    if (code)
        fprintf(stderr, "mega_dump: %s\n", err.text);
    mega_file_close(file);
    return code != 0;
}
