/*
 * raw.c - see raw.h.
 */
#include "src/pipeline/raw.h"

#include "formats/base/input_stream.h"

void mega_warn(const MegaWarning *warning, const char *sentence)
{
    if (warning->warn)
        warning->warn(warning->context, sentence);
}

void mega_warn_of_unknown(const MegaWarning *warning, const int32_t *ids, size_t count, int32_t unk,
                          const char *name)
{
    MegaError sentence;
    size_t unknown = 0;
    for (size_t i = 0; i < count; i++)
        unknown += ids[i] == unk;
    if (2 * unknown <= count)
        return;
    mega_fail(&sentence, MEGA_OK, "%s: the model does not know %zu of its %zu symbols", name,
              unknown, count);
    mega_warn(warning, sentence.text);
}

int mega_raw_check(const MegaRaw *raw, MegaError *err)
{
    if (raw->kind < MEGA_RAW_TEXT || raw->kind > MEGA_RAW_PATH)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "an input has no kind that is known: %d is no MegaRawKind",
                         (int)raw->kind);
    if (raw->data || (raw->size == 0 && raw->kind != MEGA_RAW_PATH))
        return 0;
    if (raw->kind == MEGA_RAW_PATH)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "an input has no data: its path is NULL");
    return mega_fail(err, MEGA_ERR_ARGUMENT,
                     "%s has no data: expected %zu bytes, but the pointer to them is NULL",
                     mega_raw_name(raw), raw->size);
}

const char *mega_raw_name(const MegaRaw *raw)
{
    static const char *const names[] = {
        [MEGA_RAW_TEXT] = "the text",
        [MEGA_RAW_PCM] = "the recording",
        [MEGA_RAW_PIXELS] = "the picture",
    };
    if (raw->name)
        return raw->name;
    return raw->kind == MEGA_RAW_PATH ? mega_source_name(raw->data) : names[raw->kind];
}

static int read_path(const MegaRaw *raw, const MegaTextRules *rules, const MegaWarning *warning,
                     MegaBuffer *out, MegaError *err)
{
    MegaTextFlaw flaw = {0};
    MegaError sentence;
    int code = mega_text_read(out, raw->data, rules, &flaw, err);
    if (code || !flaw.line)
        return code;
    mega_text_fail_flaw(&flaw, mega_raw_name(raw), rules, &sentence);
    mega_warn(warning, sentence.text);
    return 0;
}

int mega_raw_read_text(const MegaRaw *raw, const MegaTextRules *rules, const MegaWarning *warning,
                       MegaBuffer *out, MegaError *err)
{
    const char *name;
    int code = mega_raw_check(raw, err);
    if (code)
        return code;
    if (raw->kind == MEGA_RAW_PATH)
        return read_path(raw, rules, warning, out, err);
    if (raw->kind != MEGA_RAW_TEXT)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the model takes text; expected MEGA_RAW_TEXT or "
                         "MEGA_RAW_PATH");
    name = mega_raw_name(raw);
    if (raw->size > rules->limit)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s has %zu bytes; the limit is %llu", name,
                         raw->size, (unsigned long long)rules->limit);
    mega_put_bytes(out, raw->data, raw->size);
    return out->failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", name) : 0;
}

int mega_raw_read_bytes(const MegaRaw *raw, size_t limit, MegaBuffer *out, MegaError *err)
{
    int code = mega_raw_check(raw, err);
    if (code)
        return code;
    if (raw->kind == MEGA_RAW_PATH)
        return mega_source_read(out, raw->data, "a text", limit, err);
    if (raw->kind != MEGA_RAW_TEXT)
        return mega_fail(err, MEGA_ERR_INPUT, "%s is not text, but this model takes text",
                         mega_raw_name(raw));
    mega_put_bytes(out, raw->data, raw->size);
    return out->failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text") : 0;
}
