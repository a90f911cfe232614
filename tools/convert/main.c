/*
 * main.c - mega-convert: checkpoint -> architecture -> metadata and tensors -> .mega.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/sniff.h"
#include "formats/mega/mega_file.h"
#include "src/model/stored.h"
#include "tools/common/descriptors.h"
#include "tools/common/json.h"
#include "tools/common/memory.h"
#include "tools/common/messages.h"
#include "tools/common/progress.h"
#include "tools/common/signals.h"
#include "tools/common/terminal.h"
#include "tools/convert/arguments.h"
#include "tools/convert/list.h"
#include "tools/convert/options.h"
#include "tools/convert/tokenizer_only.h"

#define TEXT_COPIES 4

/* Checks the memory for dictionaries, labels and codes before they are read. A line of a dictionary
 * is held TEXT_COPIES times: as text, as a symbol and as metadata. */
static int check_texts(const Options *options, MegaError *err)
{
    const MetadataOptions *meta = &options->metadata;
    const char *const paths[] = {meta->dict,   meta->source_dict, meta->target_dict,
                                 meta->labels, meta->bpe_codes,   meta->bpe.vocabulary,
                                 meta->vocab};
    const uint64_t limit = options->write.max_memory;
    uint64_t size = 0;
    struct stat info;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (paths[i] && stat(paths[i], &info) == 0 && S_ISREG(info.st_mode))
            size += (uint64_t)info.st_size;
    if (!limit || size <= limit / TEXT_COPIES)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "the dictionaries, labels and codes need %.1f MB of memory; %.1f MB are "
                     "allowed",
                     (double)size * TEXT_COPIES / 1e6, (double)limit / 1e6);
}

/* Returns whether a file is a .mega file. A file that cannot be read counts as a checkpoint, since
 * opening that reports why. */
static bool is_model_file(const char *path)
{
    char begin[8];
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) /* opening a FIFO would block */
        return false;
    FILE *file = fopen(path, "rb");
    bool is = file && fread(begin, 1, sizeof begin, file) == sizeof begin &&
              memcmp(begin, MEGA_MAGIC, sizeof begin) == 0;
    if (file)
        fclose(file);
    return is;
}

/* Reports what was written, as the file itself says. */
static int tell_result(const Options *options, const char *kind, double seconds, MegaError *err)
{
    MegaFile *file = NULL;
    const char *family = "model";
    int code = mega_file_open(&file, options->write.path, err);
    if (code)
        return code;
    if (mega_meta_find(mega_file_meta(file), "general.family"))
        mega_meta_get_string(mega_file_meta(file), "general.family", &family, NULL);
    uint64_t parameters = 0, stored = mega_file_size(file);
    for (size_t i = 0; i < mega_file_tensor_count(file); i++)
        if (mega_file_tensor(file, i)->tied_to < 0 &&
            !mega_stored_is_kept(mega_file_tensor(file, i)->name))
            parameters += mega_file_tensor(file, i)->elements;
    if (options->verbose)
        report("%s, a %s: %zu tensors, %llu parameters, %llu bytes written in %.3f s, "
               "peak memory %.1f MB",
               kind, family, mega_file_tensor_count(file), (unsigned long long)parameters,
               (unsigned long long)stored, seconds, peak_megabytes());
    if (options->json)
        print_json_line(json_pack("{s:o,s:s,s:o,s:s,s:I,s:I,s:I}", "checkpoint",
                                  json_text(options->metadata.input_path), "kind", kind, "output",
                                  json_text(options->write.path), "architecture", family,
                                  "tensors", (json_int_t)mega_file_tensor_count(file),
                                  "parameters", (json_int_t)parameters, "file_size",
                                  (json_int_t)stored));
    mega_file_close(file);
    return 0;
}

/* Tells which set of weights was taken, and whether there is another, in another dict or under
 * another prefix. */
static void tell_weights(const MegaCheckpoint *checkpoint, const Names *names)
{
    bool by_prefix = names->averaged || names->has_other;
    bool averaged = names->averaged || mega_checkpoint_averaged(checkpoint);
    const char *place = by_prefix ? names->prefix : mega_checkpoint_place(checkpoint);
    const char *other = names->has_other ? names->other : mega_checkpoint_other_place(checkpoint);
    if (averaged && other && !*other)
        report("note: these are the averaged weights, of '%s'; the model's own have no such name",
               place);
    else if (averaged && other)
        report("note: these are the averaged weights, of '%s'; the model's own are in '%s'", place,
               other);
    else if (averaged)
        report("note: these are averaged weights, of '%s'; the checkpoint has no others", place);
    else if (other)
        report("note: the checkpoint has averaged weights as well, in '%s'; --weights ema takes "
               "them",
               other);
}

/* Writes the tensors of a .mega model anew, with other types or compressed. */
static int convert_model(const Options *options, MegaError *err)
{
    const char *path = options->metadata.input_path;
    if (options->describes)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "%s is a .mega model, of which only type, compression and provenance can "
                         "be changed: --%s is for checkpoints",
                         path, options->describes);
    MegaMeta *given = mega_meta_new();
    int code = given ? metadata_set_provenance(given, &options->metadata.provenance, err)
                     : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the metadata");
    if (!code)
        code = rewrite_model(&options->write, path, given, err);
    mega_meta_free(given);
    return code;
}

static void list(const Options *options, const MegaCheckpoint *checkpoint, json_t *args)
{
    if (options->json)
        list_json(checkpoint, options->metadata.input_path, args);
    else
        list_checkpoint(checkpoint, args);
}

/* Refuses a file of a model folder of the Hugging Face hub, which needs the folder's other files.
 * With --config it is a checkpoint like others. */
static int check_no_part(const Options *options, MegaError *err)
{
    static const char *const parts[] = {"config.json", "model.safetensors", "pytorch_model.bin",
                                        "model.safetensors.index.json",
                                        "pytorch_model.bin.index.json"};
    const char *path = options->metadata.input_path, *slash = strrchr(path, '/');
    const int folder = slash && slash > path ? (int)(slash - path) : 1;
    char config[4096];
    bool is_part = false;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        is_part |= strcmp(slash ? slash + 1 : path, parts[i]) == 0;
    const int length =
        snprintf(config, sizeof config, "%.*s/config.json", folder, slash ? path : ".");
    if (!is_part || options->config || options->list || length < 0 ||
        (size_t)length >= sizeof config || access(config, R_OK) != 0)
        return 0;
    return mega_fail(err, MEGA_ERR_INPUT,
                     "%s is a part of a model folder, which has a config.json; name the folder: "
                     "mega-convert %.*s -o MODEL.mega",
                     path, folder, slash ? path : ".");
}

/* Makes a model of a checkpoint, or lists what is in it. *kind becomes the checkpoint's kind once a
 * model is written. */
static int convert_checkpoint(const Options *options, const char **kind, MegaError *err)
{
    MegaCheckpoint *checkpoint = NULL;
    Architecture architecture = {0};
    MegaMeta *meta = NULL;
    json_t *args = NULL;
    const MegaCheckpointOptions opening = {.weights = options->weights,
                                           .max_memory = options->write.max_memory};
    int code = check_texts(options, err);
    if (!code)
        code = check_no_part(options, err);
    if (!code)
        code = mega_checkpoint_open(&checkpoint, options->metadata.input_path, &opening, err);
    if (!code)
        code = merge_arguments(&args, checkpoint, options->config, options->write.max_memory, err);
    if (!code && options->list)
        list(options, checkpoint, args);
    if (code || options->list)
        goto out;
    code = architecture_detect(&architecture, checkpoint, args, options->chunk_size,
                               options->weights, err);
    if (!code && !options->write.quiet)
        tell_weights(checkpoint, &architecture.names);
    if (!code)
        code = plan_kernels(&options->write, &architecture, checkpoint, err);
    if (!code)
        code = build_metadata(&meta, &options->metadata, &architecture, checkpoint, args, err);
    if (!code)
        code = write_model(&options->write, &architecture, checkpoint, meta, err);
    if (!code)
        *kind = mega_checkpoint_kind(checkpoint);
out:
    mega_meta_free(meta);
    json_decref(args);
    architecture_free(&architecture);
    mega_checkpoint_close(checkpoint);
    return code;
}

static int convert(const Options *options, MegaError *err)
{
    const double begun = clock_seconds();
    const char *kind = NULL; /* what the output was made of; NULL: there is no output */
    int code;
    if (!options->list && is_model_file(options->metadata.input_path)) {
        kind = "model file";
        code = convert_model(options, err);
    } else if (options->tokenizer_only) {
        kind = "tokenizer folder";
        code = convert_tokenizer(&options->metadata, options->write.path, err);
    } else {
        code = convert_checkpoint(options, &kind, err);
    }
    if (!code && kind && (options->json || options->verbose))
        code = tell_result(options, kind, clock_seconds() - begun, err);
    return code;
}

int main(int argc, char **argv)
{
    Options options = {
        .metadata = {.audio_rate = -1, .audio_length = -1, .audio_mean = NAN, .audio_std = NAN,
                     .text_unit = -1},
        .write = {.dtype = MEGA_F32, .keep_types = true, .keep_kernels = -1},
        .chunk_size = -1,
    };
    MegaError err = {0};
    int status;
    secure_descriptors();
    catch_signals(program_name);
    guard_terminal();
    if (!read_options(&options, argc, argv, &status))
        return status;
    if (!options.list && !options.force && access(options.write.path, F_OK) == 0) {
        report("%s exists already; --force overwrites it", options.write.path);
        return 1;
    }
    if (convert(&options, &err)) {
        report("%s", err.text);
        return 1;
    }
    return finish_output(0);
}
