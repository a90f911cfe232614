/*
 * options.h - the command line of mega-convert.
 */
#ifndef MEGA_CONVERT_OPTIONS_H
#define MEGA_CONVERT_OPTIONS_H

#include "formats/checkpoint/checkpoint.h"
#include "tools/convert/metadata.h"
#include "tools/convert/write.h"

#define MAX_GLOSSARIES 64

typedef struct Options {
    MetadataOptions metadata;
    WriteOptions write;
    const char *config;
    long chunk_size;
    MegaWeightSet weights;
    const char *glossaries[MAX_GLOSSARIES];
    bool list, json, force, verbose, tokenizer_only;
    const char *describes; /* a given option that describes the model of a checkpoint */
} Options;

/* Reads the command line. Returns false if the program must end with *status, because of --help or
 * --version or of a mistake that has been reported. */
bool read_options(Options *options, int argc, char **argv, int *status);

#endif
