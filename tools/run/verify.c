/*
 * verify.c - mega-run verify: checks every checksum of .mega files.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "mega_file.h"
#include "options.h"

static const char help[] =
    "Usage: mega-run verify [-q] FILE...\n"
    "\n"
    "Checks header, metadata, index, and the checksum of every tensor of .mega files.\n"
    "Prints one line for each file.\n"
    "\n"
    "  -q, --quiet   print nothing for a file without damage\n"
    "  -h, --help    show this help\n"
    "\n"
    "Exit status: 0 all files are sound, 1 one is damaged or cannot be read, 2 wrong usage.\n";

static int verify(const char *path, bool quiet)
{
    MegaError err = {0};
    MegaFile *file = NULL;
    int code = mega_file_open(&file, path, &err);
    if (!code)
        code = mega_file_verify(file, &err);
    if (code)
        report("%s", err.text);
    else if (!quiet)
        printf("%s: sound, %zu tensors in %" PRIu64 " bytes\n", path, mega_file_tensor_count(file),
               mega_file_size(file));
    mega_file_close(file);
    return code;
}

int command_verify(int argc, char **argv)
{
    static const struct option options[] = {
        {"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {0}};
    bool quiet = false;
    int status = 0, option;
    optind = 0; /* start afresh, whatever was parsed before */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":qh", options, NULL)) != -1) {
        switch (option) {
        case 'q': quiet = true; break;
        case 'h': fputs(help, stdout); return finish_output(0);
        default: return option_error("verify", option, argv, options);
        }
    }
    if (optind == argc)
        return usage_error("verify", "no file was given");
    for (int i = optind; i < argc; i++)
        if (verify(argv[i], quiet) != 0)
            status = 1;
    return finish_output(status);
}
