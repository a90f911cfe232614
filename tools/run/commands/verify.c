/*
 * verify.c - mega-run verify: checks every checksum of .mega files.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/mega/mega_file.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"

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

static int verify(const char *given, bool json, bool quiet)
{
    MegaError err = {0};
    MegaFile *file = NULL;
    char *found = NULL;
    int code = named_model(&found, given, &err);
    const char *path = found ? found : given;
    if (!code)
        code = mega_file_open(&file, path, &err);
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
    free(found);
    return code;
}

int command_verify(int argc, char **argv)
{
    bool json = false, quiet = false;
    const CommandOption table[] = {{.name = "model", .letter = 'm', .take = take_input},
                                   JSON_OPTION(&json),
                                   QUIET_OPTION(&quiet),
                                   INPUT_OPTIONS,
                                   {0}};
    int inputs, status = 0;
    if (!read_command_line(&(CommandSyntax){"verify", help, table}, argc, argv, &inputs, &status))
        return status;
    if (inputs == 0)
        return usage_error("verify", "no file was given");
    for (int i = 1; i <= inputs; i++)
        if (verify(argv[i], json, quiet) != 0)
            status = 1;
    return finish_output(status);
}
