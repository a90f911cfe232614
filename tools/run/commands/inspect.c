/*
 * inspect.c - mega-run inspect: prints what a .mega file holds, as text or JSON.
 *
 * No metadata key is treated specially. All keys are printed as they are, grouped by the part
 * before the first dot, so keys that are added later need no change here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "formats/base/bytes.h"
#include "formats/mega/mega_file.h"
#include "src/model/stored.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"

#define SHOWN_ELEMENTS 8    /* most elements of an array that are printed */
#define SHOWN_CHARACTERS 76 /* most characters of a string that are printed */
#define MAX_NAME_COLUMN 48

static const char help[] =
    "Usage: mega-run inspect [--tensors] [--json] FILE...\n"
    "\n"
    "Shows what .mega files hold: metadata, parameters, and how their tensors are stored.\n"
    "\n"
    "      --tensors  list every tensor\n"
    "      --json     print everything as JSON, one line for each file\n"
    "  -h, --help     show this help\n"
    "\n"
    "Exit status: 0 success, 1 a file cannot be read, 2 wrong usage.\n";

static const char *encoding_name(MegaEncoding encoding)
{
    switch (encoding) {
    case MEGA_PLAIN: return "plain";
    case MEGA_ZLIB_SHUFFLE: return "zlib";
    case MEGA_TIED: return "tied";
    case MEGA_IN_PANELS: return "panels";
    }
    return "unknown";
}

static const char *dtype_name(MegaDtype dtype)
{
    return mega_dtype_traits((int)dtype)->name;
}

static uint64_t parameter_count(const MegaFile *file)
{
    uint64_t count = 0;
    for (size_t i = 0; i < mega_file_tensor_count(file); i++) {
        const MegaTensor *tensor = mega_file_tensor(file, i);
        if (tensor->tied_to < 0 && !mega_stored_is_kept(tensor->name))
            count += tensor->elements;
    }
    return count;
}

/* ---- Text ----------------------------------------------------------------------------------- */

/* Prints a string with control characters escaped: they could control the terminal, and a line
 * break would break the table. */
static void print_text(const char *text)
{
    size_t left = strlen(text);
    for (int shown = 0; left; shown++) {
        uint32_t code = 0;
        size_t length = mega_utf8_decode(text, left, &code);
        if (!length)
            return; /* metadata is always UTF-8, but a path may not be */
        if (shown == SHOWN_CHARACTERS) {
            printf("... (%zu more bytes)", left);
            return;
        }
        if (code == '\n')
            fputs("\\n", stdout);
        else if (code == '\t')
            fputs("\\t", stdout);
        else if (code < ' ' || (code >= 0x7f && code < 0xa0))
            printf("\\x%02" PRIx32, code);
        else
            fwrite(text, 1, length, stdout);
        text += length;
        left -= length;
    }
}

static void print_array(const MegaMetaValue *value)
{
    printf("%" PRIu64 " %s%s", value->count, value->type == MEGA_META_STRINGS ? "text" : "number",
           value->count == 1 ? "" : "s");
    for (uint64_t i = 0; i < value->count && i < SHOWN_ELEMENTS; i++) {
        fputs(i ? ", " : ": ", stdout);
        if (value->type == MEGA_META_INTS)
            printf("%" PRId64, value->integers[i]);
        else if (value->type == MEGA_META_FLOATS)
            printf("%.9g", value->reals[i]);
        else
            print_text(value->strings[i]);
    }
    if (value->count > SHOWN_ELEMENTS)
        fputs(", ...", stdout);
}

static void print_value(const MegaMetaValue *value)
{
    switch (value->type) {
    case MEGA_META_BOOL: fputs(value->boolean ? "yes" : "no", stdout); break;
    case MEGA_META_INT: printf("%" PRId64, value->integer); break;
    case MEGA_META_FLOAT: printf("%.9g", value->real); break;
    case MEGA_META_STRING: print_text(value->string); break;
    default: print_array(value); break;
    }
    putchar('\n');
}

/* Prints a heading where the group of keys changes. In files that mega-convert writes, keys of one
 * group stand together. */
static void print_meta(const MegaMeta *meta)
{
    const char *group = "";
    size_t group_length = 0;
    for (size_t i = 0; i < mega_meta_count(meta); i++) {
        const MegaMetaValue *value = mega_meta_at(meta, i);
        const char *dot = strchr(value->key, '.');
        size_t length = dot ? (size_t)(dot - value->key) : 0;
        if (dot && (length != group_length || memcmp(group, value->key, length) != 0))
            printf("%.*s\n", (int)length, value->key);
        group = value->key;
        group_length = length;
        if (dot)
            printf("  %-22s", dot + 1);
        else
            printf("%-24s", value->key);
        putchar(' ');
        print_value(value);
    }
}

/* Writes a size such as "1.38 MB" to text, which has at least 16 bytes. */
static const char *size_text(uint64_t size, char *text)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    double value = (double)size;
    while (value >= 1000) {
        value /= 1000;
        unit++;
    }
    snprintf(text, 16, unit ? "%.3g %s" : "%.0f %s", value, units[unit]);
    return text;
}

typedef struct Total {
    uint64_t tensors, parameters, size, stored;
} Total;

static void add_tensor(Total *total, const MegaTensor *tensor)
{
    total->tensors++;
    if (tensor->tied_to < 0 && !mega_stored_is_kept(tensor->name))
        total->parameters += tensor->elements;
    total->size += tensor->tied_to < 0 ? tensor->size : 0;
    total->stored += tensor->stored_size;
}

static void print_total(const char *dtype, const char *encoding, const Total *total)
{
    char size[16], stored[16];
    printf("  %-5s %-6s %7" PRIu64 " %13" PRIu64 " %10s %10s", dtype, encoding, total->tensors,
           total->parameters, size_text(total->size, size), size_text(total->stored, stored));
    if (total->size)
        printf(" %6.3f", (double)total->stored / (double)total->size);
    putchar('\n');
}

/* Prints the totals by dtype and encoding. */
static void print_totals(const MegaFile *file)
{
    Total by_kind[MEGA_STORABLE_DTYPES][MEGA_ENCODING_COUNT] = {0}, all = {0};
    for (size_t i = 0; i < mega_file_tensor_count(file); i++) {
        const MegaTensor *tensor = mega_file_tensor(file, i);
        add_tensor(&by_kind[tensor->dtype][tensor->encoding], tensor);
        add_tensor(&all, tensor);
    }
    printf("tensors                  parameters       size     stored  ratio\n");
    for (int dtype = 0; dtype < MEGA_STORABLE_DTYPES; dtype++)
        for (int encoding = 0; encoding < MEGA_ENCODING_COUNT; encoding++)
            if (by_kind[dtype][encoding].tensors)
                print_total(dtype_name((MegaDtype)dtype), encoding_name((MegaEncoding)encoding),
                            &by_kind[dtype][encoding]);
    print_total("all", "", &all);
}

static const char *shape_text(const MegaTensor *tensor, char text[static 96])
{
    size_t at = 0;
    for (int i = 0; i < tensor->rank; i++) /* there are at most 4 numbers of 20 digits */
        at += (size_t)snprintf(text + at, 96 - at, "%s%" PRIu64, i ? "x" : "", tensor->shape[i]);
    return text;
}

static void print_tensors(const MegaFile *file)
{
    int width = 4;
    char shape[96];
    for (size_t i = 0; i < mega_file_tensor_count(file); i++) {
        int length = (int)strlen(mega_file_tensor(file, i)->name);
        if (length > width)
            width = length < MAX_NAME_COLUMN ? length : MAX_NAME_COLUMN;
    }
    printf("\n%-*s %-5s %-16s %-6s %12s  ratio\n", width, "name", "dtype", "shape", "stored",
           "bytes");
    for (size_t i = 0; i < mega_file_tensor_count(file); i++) {
        const MegaTensor *tensor = mega_file_tensor(file, i);
        printf("%-*s %-5s %-16s %-6s ", width, tensor->name, dtype_name(tensor->dtype),
               shape_text(tensor, shape), encoding_name(tensor->encoding));
        if (tensor->tied_to >= 0)
            printf("to %s\n", mega_file_tensor(file, (size_t)tensor->tied_to)->name);
        else
            printf("%12" PRIu64 " %6.3f\n", tensor->size,
                   (double)tensor->stored_size / (double)tensor->size);
    }
}

static void print_file(const MegaFile *file, bool tensors)
{
    char size[16];
    printf("%s: %s, format version %d, %" PRIu64 " parameters\n", mega_file_name(file),
           size_text(mega_file_size(file), size), MEGA_FORMAT_VERSION, parameter_count(file));
    print_meta(mega_file_meta(file));
    print_totals(file);
    if (tensors)
        print_tensors(file);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *json_of_value(const MegaMetaValue *value)
{
    switch (value->type) {
    case MEGA_META_BOOL: return json_boolean(value->boolean);
    case MEGA_META_INT: return json_integer(value->integer);
    case MEGA_META_FLOAT: return json_number(value->real);
    case MEGA_META_STRING: return json_string(value->string);
    default: break;
    }
    json_t *array = json_array();
    int failed = 0;
    for (uint64_t i = 0; i < value->count; i++)
        failed |= json_array_append_new(
            array, value->type == MEGA_META_INTS     ? json_integer(value->integers[i])
                   : value->type == MEGA_META_FLOATS ? json_number(value->reals[i])
                                                     : json_string(value->strings[i]));
    if (failed) {
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *json_of_tensor(const MegaFile *file, const MegaTensor *tensor)
{
    char crc[9];
    int failed = 0;
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++)
        failed |= json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    snprintf(crc, sizeof crc, "%08" PRIx32, tensor->crc);
    const char *holder =
        tensor->tied_to < 0 ? NULL : mega_file_tensor(file, (size_t)tensor->tied_to)->name;
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:s?}", "name", tensor->name,
        "dtype", dtype_name(tensor->dtype), "shape", shape, "encoding",
        encoding_name(tensor->encoding), "elements", (json_int_t)tensor->elements, "size",
        (json_int_t)tensor->size, "stored_size", (json_int_t)tensor->stored_size, "offset",
        (json_int_t)tensor->offset, "crc32", crc, "block_size", (json_int_t)tensor->block_size,
        "block_count", (json_int_t)tensor->block_count, "tied_to", holder);
    if (failed) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

/* Returns NULL without memory. */
static json_t *json_of_file(const MegaFile *file)
{
    const MegaMeta *meta = mega_file_meta(file);
    json_t *values = json_object(), *tensors = json_array();
    int failed = 0;
    for (size_t i = 0; i < mega_meta_count(meta); i++) {
        const MegaMetaValue *value = mega_meta_at(meta, i);
        failed |= json_object_set_new(values, value->key, json_of_value(value));
    }
    for (size_t i = 0; i < mega_file_tensor_count(file); i++)
        failed |= json_array_append_new(tensors, json_of_tensor(file, mega_file_tensor(file, i)));
    json_t *object = json_pack(
        "{s:o, s:I, s:i, s:I, s:o, s:o}", "file", json_text(mega_file_name(file)), "file_size",
        (json_int_t)mega_file_size(file), "format_version", MEGA_FORMAT_VERSION, "parameters",
        (json_int_t)parameter_count(file), "metadata", values, "tensors", tensors);
    if (failed) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

static int print_json(const MegaFile *file)
{
    json_t *object = json_of_file(file);
    if (!object) {
        report("%s: no memory for the JSON output", mega_file_name(file));
        return 1;
    }
    /* Unlike print_json_line, this prints all digits of the metadata's numbers. A failed write sets
     * ferror(), which is checked at the end. */
    (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(object);
    return 0;
}

/* ---- The command ---------------------------------------------------------------------------- */

static int inspect(const char *given, bool json, bool tensors)
{
    MegaError err = {0};
    MegaFile *file = NULL;
    char *path = NULL;
    int code = named_model(&path, given, &err);
    if (!code)
        code = mega_file_open(&file, path, &err);
    free(path);
    if (code) {
        report("%s", err.text);
        if (json)
            print_json_line(
                json_pack("{s:o,s:o}", "file", json_text(given), "error", json_error(&err)));
        return 1;
    }
    int status = 0;
    if (json)
        status = print_json(file);
    else
        print_file(file, tensors);
    mega_file_close(file);
    return status;
}

int command_inspect(int argc, char **argv)
{
    bool json = false, tensors = false;
    const CommandOption table[] = {{.name = "model", .letter = 'm', .take = take_input},
                                   {.name = "tensors", .take = take_flag, .out = &tensors},
                                   JSON_OPTION(&json),
                                   INPUT_OPTIONS,
                                   {0}};
    int inputs, status = 0;
    if (!read_command_line(&(CommandSyntax){"inspect", help, table}, argc, argv, &inputs, &status))
        return status;
    if (inputs == 0)
        return usage_error("inspect", "no file was given");
    for (int i = 1; i <= inputs; i++) {
        if (i > 1 && !json)
            putchar('\n');
        if (inspect(argv[i], json, tensors) != 0)
            status = 1;
    }
    return finish_output(status);
}
