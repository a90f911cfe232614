/*
 * verify.c - mega-run verify: checks every checksum of .mega files.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "mega_file.h"
#include "options.h"

static const char help[] =
    "Usage: mega-run verify [-q] [--json] FILE...\n"
    "\n"
    "Checks header, metadata, index, and the checksum of every tensor of .mega files.\n"
    "Prints one line for each file.\n"
    "\n"
    "      --json    one JSON object for each file\n"
    "  -q, --quiet   print nothing for a file without damage\n"
    "  -h, --help    show this help\n"
    "\n"
    "Exit status: 0 all files are sound, 1 one is damaged or cannot be read, 2 wrong usage.\n";

static void print_json(const char *path, const MegaFile *file, const MegaError *err)
{
    json_t *object = json_pack("{s:o,s:b}", "file", json_text(path), "sound", !err->code);
    if (err->code) {
        json_object_set_new(object, "error", json_error(err));
    } else {
        json_object_set_new(object, "tensors",
                            json_integer((json_int_t)mega_file_tensor_count(file)));
        json_object_set_new(object, "file_size", json_integer((json_int_t)mega_file_size(file)));
    }
    print_json_line(object);
}

static int verify(const char *path, bool json, bool quiet)
{
    MegaError err = {0};
    MegaFile *file = NULL;
    int code = mega_file_open(&file, path, &err);
    if (!code)
        code = mega_file_verify(file, &err);
    if (code)
        report("%s", err.text);
    if (json && (code || !quiet))
        print_json(path, file, &err);
    else if (!code && !quiet)
        printf("%s: sound, %zu tensors in %" PRIu64 " bytes\n", path, mega_file_tensor_count(file),
               mega_file_size(file));
    mega_file_close(file);
    return code;
}

int command_verify(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {0}};
    bool json = false, quiet = false;
    int status = 0, option;
    optind = 0; /* start afresh, whatever was parsed before */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":qh", options, NULL)) != -1) {
        switch (option) {
        case 'j': json = true; break;
        case 'q': quiet = true; break;
        case 'h': fputs(help, stdout); return finish_output(0);
        default: return option_error("verify", option, argv, options);
        }
    }
    if (optind == argc)
        return usage_error("verify", "no file was given");
    for (int i = optind; i < argc; i++)
        if (verify(argv[i], json, quiet) != 0)
            status = 1;
    return finish_output(status);
}
