/*
 * tokenizer_file.c - see tokenizer_file.h.
 */
#include "tools/run/tokenizer_file.h"

#include <stdlib.h>
#include <string.h>

#include "tools/run/find_model.h"

static bool has_vocabulary(const MegaMeta *meta)
{
    return mega_meta_find(meta, MEGA_VOCAB_KEY) || (mega_meta_find(meta, MEGA_VOCAB_SOURCE_KEY) &&
                                                    mega_meta_find(meta, MEGA_VOCAB_TARGET_KEY));
}

int tokenizer_file_open(TokenizerFile *out, const char *given, MegaTokenizerSide side,
                        MegaError *err)
{
    *out = (TokenizerFile){.side = side};
    int code = given ? named_model(&out->path, given, err)
                     : find_model(&out->path,
                                  &(ModelWish){.task = MEGA_TASK_GENERATE,
                                               .kind = MEGA_CONTENT_TEXT},
                                  err);
    if (!code)
        code = mega_file_open(&out->file, out->path, err);
    if (!code && !has_vocabulary(mega_file_meta(out->file)))
        code = mega_fail(err, MEGA_ERR_MODEL,
                         "%s has no vocabulary; 'mega-run models' lists models that take texts",
                         out->path);
    return code ? code : mega_tokenizer_new(&out->tokenizer, mega_file_meta(out->file), side, err);
}

void tokenizer_file_close(TokenizerFile *file)
{
    mega_tokenizer_free(file->tokenizer);
    mega_file_close(file->file);
    free(file->path);
}

int take_side(const CommandOption *option, const char *value, MegaError *err)
{
    const bool is_target = strcmp(value, "target") == 0;
    if (!is_target && strcmp(value, "source") != 0)
        return refuse_value(option, value, err, "source or target");
    *(MegaTokenizerSide *)option->out = is_target ? MEGA_TOKENIZER_TARGET : MEGA_TOKENIZER_SOURCE;
    return 0;
}
