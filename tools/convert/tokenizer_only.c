/*
 * tokenizer_only.c - see tokenizer_only.h.
 */
#include "tools/convert/tokenizer_only.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/mega/mega_file.h"
#include "tools/common/messages.h"
#include "tools/convert/hub_tokenizer.h"

static void warn(const char *sentence)
{
    report("warning: %s", sentence);
}

static int set_provenance(MegaMeta *meta, const MetadataOptions *options, MegaError *err)
{
    const MetaText texts[] = {
        {"general.task", "tokenize"},
        {"general.family", "tokenizer"},
        {"general.source_format", "tokenizer folder"},
        {"general.converter", "mega-convert " MEGA_VERSION},
    };
    const int code = metadata_set_provenance(meta, &options->provenance, err);
    return code ? code : metadata_set_texts(meta, texts, sizeof texts / sizeof texts[0], err);
}

int convert_tokenizer(const MetadataOptions *options, const char *output, MegaError *err)
{
    struct stat info;
    MegaWriter *writer = NULL;
    MegaMeta *meta = mega_meta_new();
    int code = meta ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for a tokenizer");
    if (!code && (stat(options->input_path, &info) != 0 || !S_ISDIR(info.st_mode)))
        code = mega_fail(err, MEGA_ERR_INPUT,
                         "%s is not a folder; --tokenizer-only takes a folder with tokenizer.json, "
                         "or vocab.json and merges.txt",
                         options->input_path);
    if (!code)
        code = set_provenance(meta, options, err);
    if (!code)
        code = hub_tokenizer_import(meta, options->input_path, options->quiet ? NULL : warn, err);
    if (!code)
        code = mega_writer_new(&writer, output, meta, NULL, 0, false, err);
    if (!code)
        code = mega_writer_finish(writer, err);
    mega_writer_free(writer);
    mega_meta_free(meta);
    return code;
}
