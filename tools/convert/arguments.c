/*
 * arguments.c - see arguments.h.
 */
#include "tools/convert/arguments.h"

#include "formats/text/text_input.h"

#define MAX_CONFIG (1u << 26) /* bytes */
#define MAX_CONFIG_MEMORY (UINT64_C(1) << 28)

/* Checks the memory for the arguments, since a few bytes of JSON can need much of it. */
static int check_config(const char *path, const MegaBuffer *text, uint64_t max_memory,
                        MegaError *err)
{
    const uint64_t cost = mega_checkpoint_json_cost((const char *)text->data, text->size);
    const uint64_t limit =
        max_memory && max_memory < MAX_CONFIG_MEMORY ? max_memory : MAX_CONFIG_MEMORY;
    if (cost <= limit)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "%s: the arguments need %.1f MB of memory; %.1f MB are allowed", path,
                     (double)cost / 1e6, (double)limit / 1e6);
}

/* Reads --config, whose file is an object of arguments, or has such an object as "args". */
static int load_config(json_t **out, const char *path, uint64_t max_memory, MegaError *err)
{
    const MegaTextRules rules = {.what = "arguments in JSON", .limit = MAX_CONFIG};
    json_error_t error;
    MegaBuffer text = {0};
    json_t *whole = NULL, *inner;
    int code = mega_text_read(&text, path, &rules, NULL, err);
    if (!code)
        code = check_config(path, &text, max_memory, err);
    if (!code)
        whole = json_loadb(text.size ? (const char *)text.data : "", text.size, 0, &error);
    mega_buffer_free(&text);
    if (code)
        return code;
    if (!whole && error.line > 0)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: line %d: %s", path, error.line, error.text);
    if (!json_is_object(whole)) {
        json_decref(whole);
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: %s", path,
                         whole ? "not a JSON object" : error.text);
    }
    inner = json_object_get(whole, "args");
    *out = whole;
    if (!json_is_object(inner))
        return 0;
    *out = json_incref(inner);
    json_decref(whole);
    return 0;
}

int merge_arguments(json_t **out, const MegaCheckpoint *checkpoint, const char *config,
                    uint64_t max_memory, MegaError *err)
{
    const json_t *own = mega_checkpoint_args(checkpoint);
    *out = own ? json_copy((json_t *)own) : json_object();
    if (!*out)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the arguments");
    if (!config)
        return 0;
    json_t *given = NULL;
    int code = load_config(&given, config, max_memory, err);
    if (code)
        return code;
    int failed = json_object_update(*out, given);
    json_decref(given);
    return failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for the arguments") : 0;
}
