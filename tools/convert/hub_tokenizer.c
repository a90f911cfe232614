/*
 * hub_tokenizer.c - see hub_tokenizer.h. The parts of tokenizer.json are read in hub_parts.c.
 */
#include "tools/convert/hub_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/input_stream.h"
#include "formats/text/byte_bpe.h"
#include "tools/convert/hub_parts.h"

static const char *const file_names[HUB_FILES] = {
    [HUB_TOKENIZER] = "tokenizer.json",
    [HUB_VOCAB] = "vocab.json",
    [HUB_MERGES] = "merges.txt",
    [HUB_ADDED] = "added_tokens.json",
    [HUB_SPECIAL] = "special_tokens_map.json",
    [HUB_CONFIG] = "tokenizer_config.json",
};

/* ---- Special tokens ------------------------------------------------------------------------- */

static const struct {
    const char *name, *key, *usual; /* `usual` is the default of RobertaTokenizer */
} special_names[] = {
    {"bos_token", "special.bos", "<s>"},      {"eos_token", "special.eos", "</s>"},
    {"unk_token", "special.unk", "<unk>"},    {"sep_token", "special.sep", "</s>"},
    {"pad_token", "special.pad", "<pad>"},    {"cls_token", "special.cls", "<s>"},
    {"mask_token", "special.mask", "<mask>"},
};

#define SPECIAL_NAMES (sizeof special_names / sizeof special_names[0])

/* Returns the value of a special token. It stands in tokenizer_config.json or, in older folders, in
 * special_tokens_map.json, which has precedence unless tokenizer_config.json lists the added
 * tokens. */
static const json_t *special_value(const Hub *hub, const char *name)
{
    const json_t *value = NULL;
    if (!json_object_get(hub->json[HUB_CONFIG], "added_tokens_decoder"))
        value = json_object_get(hub->json[HUB_SPECIAL], name);
    return value ? value : json_object_get(hub->json[HUB_CONFIG], name);
}

/* Adds a special token, which is a string, or an object that has its flags, too. These do not count
 * if the token is in the list of added tokens. RoBERTa's class gives a mask that is a string its
 * own flags; any other string leaves a token that was added as it is. */
static int add_special(Hub *hub, const char *name, const json_t *value, int32_t *id, MegaError *err)
{
    const bool is_mask = strcmp(name, "mask_token") == 0;
    HubAdded added = {.flags = MEGA_ADDED_SPECIAL | (is_mask ? MEGA_ADDED_LSTRIP : 0),
                      .text = json_string_value(value)};
    if (!is_mask && !hub->json[HUB_TOKENIZER])
        added.flags |= MEGA_ADDED_NORMALIZED; /* RobertaTokenizer has this flag by default */
    if (json_is_object(value)) {
        int code = hub_read_added(value, hub->files[HUB_CONFIG].name, &added, err);
        if (code)
            return code;
        added.flags |= MEGA_ADDED_SPECIAL;
    }
    if (!added.text)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: %s is neither a string nor an object",
                         hub->files[HUB_CONFIG].name, name);
    *id = hub_find(hub, added.text);
    if (hub_is_added(hub, *id) &&
        (hub->symbols[*id].settled || !(json_is_object(value) || (is_mask && hub->is_roberta))))
        return 0;
    return hub_add(hub, &added, id, err);
}

static int store_special(Hub *hub, MegaMeta *meta, MegaError *err)
{
    int code = 0;
    for (size_t i = 0; i < SPECIAL_NAMES && !code; i++) {
        const json_t *value = special_value(hub, special_names[i].name);
        json_t *usual = NULL;
        int32_t id = -1;
        if (!value && hub->is_roberta && hub_find(hub, special_names[i].usual) >= 0)
            value = usual = json_string(special_names[i].usual);
        if (value && !json_is_null(value))
            code = add_special(hub, special_names[i].name, value, &id, err);
        hub->special[i] = id;
        json_decref(usual);
        if (!code && id >= 0)
            code = mega_meta_set_result(mega_meta_set_int(meta, special_names[i].key, id),
                                        "special", err);
    }
    const json_t *more = special_value(hub, "additional_special_tokens");
    size_t index;
    json_t *value;
    json_array_foreach(more, index, value)
    {
        int32_t id;
        if (!code)
            code = add_special(hub, "additional_special_tokens", value, &id, err);
    }
    return code;
}

/* ---- Added tokens --------------------------------------------------------------------------- */

/* Adds the tokens of "added_tokens" in tokenizer.json. */
static int add_listed(Hub *hub, MegaError *err)
{
    const json_t *list = json_object_get(hub->json[HUB_TOKENIZER], "added_tokens");
    const char *name = hub->files[HUB_TOKENIZER].name;
    size_t index;
    json_t *value;
    int code = 0;
    if (list && !json_is_array(list) && !json_is_null(list))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: added_tokens is not a list", name);
    json_array_foreach(list, index, value)
    {
        HubAdded added;
        int32_t id, given = -1;
        if ((code = hub_read_added(value, name, &added, err)))
            return code;
        if (!*added.text)
            continue;
        if ((code = hub_add(hub, &added, &id, err)))
            return code;
        hub->symbols[id].settled = !json_object_get(hub->json[HUB_CONFIG], "added_tokens_decoder");
        if (hub_id(json_object_get(value, "id"), &given) && given != id)
            hub_warn(hub, "%s: added token '%.60s' has id %d there, but %d in the vocabulary", name,
                     added.text, given, id);
    }
    return code;
}

typedef struct Decoder {
    int32_t id;
    HubAdded added;
} Decoder;

static int compare_ids(const void *a, const void *b)
{
    const int32_t left = ((const Decoder *)a)->id, right = ((const Decoder *)b)->id;
    return (left > right) - (left < right);
}

/* Adds the tokens of "added_tokens_decoder" in tokenizer_config.json, in the order of their ids.
 * Its flags override those of other files. */
static int add_decoder(Hub *hub, MegaError *err)
{
    json_t *object = json_object_get(hub->json[HUB_CONFIG], "added_tokens_decoder"), *value;
    const char *key, *name = hub->files[HUB_CONFIG].name;
    size_t count = 0;
    int code = 0;
    if (!json_is_object(object))
        return 0;
    Decoder *rows = calloc(json_object_size(object) + 1, sizeof *rows);
    if (!rows)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for added tokens");
    json_object_foreach(object, key, value)
    {
        char *end;
        const long id = strtol(key, &end, 10);
        if (!code && (*end || end == key || id < 0 || id >= HUB_MAX_TOKENS))
            code = mega_fail(err, MEGA_ERR_FORMAT,
                             "%s: added_tokens_decoder has the id '%.40s'; expected a number below "
                             "%d",
                             name, key, HUB_MAX_TOKENS);
        if (!code)
            code = hub_read_added(value, name, &rows[count].added, err);
        rows[count++].id = (int32_t)id;
    }
    if (!code)
        qsort(rows, count, sizeof *rows, compare_ids);
    for (size_t i = 0; i < count && !code; i++) {
        int32_t id;
        if (!*rows[i].added.text)
            continue;
        code = hub_add(hub, &rows[i].added, &id, err);
        if (!code)
            hub->symbols[id].settled = true;
    }
    free(rows);
    return code;
}

/* Adds the tokens of added_tokens.json, the older form of that list, which maps tokens to ids. */
static int add_older(Hub *hub, MegaError *err)
{
    json_t *value;
    const char *key;
    int code = 0;
    if (json_object_get(hub->json[HUB_CONFIG], "added_tokens_decoder"))
        return 0;
    json_object_foreach(hub->json[HUB_ADDED], key, value)
    {
        const HubAdded added = {.text = key, .flags = MEGA_ADDED_NORMALIZED};
        int32_t id = -1;
        if (!*key || hub_is_added(hub, hub_find(hub, key)))
            continue;
        if (!hub_id(value, &id))
            code = mega_fail(err, MEGA_ERR_FORMAT, "%s: token '%.60s' has no id",
                             hub->files[HUB_ADDED].name, key);
        if (!code && hub_find(hub, key) < 0)
            code = hub_name(hub, key, id, err);
        if (!code)
            code = hub_add(hub, &added, &id, err);
        if (code)
            break;
    }
    return code;
}

/* ---- Without tokenizer.json ----------------------------------------------------------------- */

/* Reads a line of merges.txt. A merge that was there before is skipped. */
static int read_merge_line(Hub *hub, char *line, size_t number, json_t *seen, MegaError *err)
{
    char *rest = NULL, *left = strtok_r(line, " \t\r", &rest);
    char *right = left ? strtok_r(NULL, " \t\r", &rest) : NULL;
    char where[32], key[2 * 1024];
    if (!left)
        return 0;
    if (!right || strtok_r(NULL, " \t\r", &rest))
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s: line %zu is not a merge: two tokens with a blank between them",
                         hub->files[HUB_MERGES].name, number);
    if (snprintf(key, sizeof key, "%s %s", left, right) >= (int)sizeof key)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s: line %zu is too long",
                         hub->files[HUB_MERGES].name, number);
    if (json_object_get(seen, key))
        return 0;
    if (json_object_set_new_nocheck(seen, key, json_true()))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for merges");
    snprintf(where, sizeof where, "line %zu", number);
    return hub_add_merge(hub, left, right, hub->files[HUB_MERGES].name, where, err);
}

static int read_merges_file(Hub *hub, MegaError *err)
{
    const HubFile *file = &hub->files[HUB_MERGES];
    char *text = malloc(file->size + 1), *at = text;
    json_t *seen = json_object();
    int code = text && seen ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for merges");
    if (!code && !mega_utf8_valid(file->data, file->size))
        code = mega_fail(err, MEGA_ERR_FORMAT, "%s is not UTF-8", file->name);
    if (!code) {
        memcpy(text, file->data, file->size);
        text[file->size] = '\0';
    }
    for (size_t number = 1; at && !code; number++) {
        char *line = at;
        at = strchr(line, '\n');
        if (at)
            *at++ = '\0';
        if (number > 1) /* the first line is a comment, whatever it holds */
            code = read_merge_line(hub, line, number, seen, err);
    }
    json_decref(seen);
    free(text);
    return code;
}

static int read_two_files(Hub *hub, MegaError *err)
{
    int code = hub_read_vocab(hub, hub->json[HUB_VOCAB], hub->files[HUB_VOCAB].name, err);
    return code ? code : read_merges_file(hub, err);
}

/* Sets RobertaTokenizer's template for texts. */
static int usual_post_processor(Hub *hub, MegaError *err)
{
    const int32_t sep = hub->special[3], cls = hub->special[5];
    if (sep < 0 || cls < 0)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%s: the vocabulary has no %s, which every text begins or ends with",
                         hub->files[HUB_VOCAB].name, cls < 0 ? "cls_token" : "sep_token");
    hub_set_roberta(&hub->post, cls, sep);
    return 0;
}

/* ---- Settings ------------------------------------------------------------------------------- */

static int read_class(Hub *hub, MegaError *err)
{
    const json_t *value = json_object_get(hub->json[HUB_CONFIG], "tokenizer_class");
    static const char *const robertas[] = {"RobertaTokenizer", "RobertaTokenizerFast"};
    const char *class = value && !json_is_null(value) ? json_string_value(value) : robertas[0];
    for (size_t i = 0; class && i < sizeof robertas / sizeof robertas[0]; i++)
        if (strcmp(class, robertas[i]) == 0) {
            hub->is_roberta = true;
            return 0;
        }
    if (class && strcmp(class, "PreTrainedTokenizerFast") == 0 && hub->json[HUB_TOKENIZER])
        return 0;
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "%s: tokenizer_class '%.60s' is not supported; expected RobertaTokenizer, or "
                     "PreTrainedTokenizerFast with a tokenizer.json",
                     hub->files[HUB_CONFIG].name, class ? class : "(not a string)");
}

/* Applies the settings for blanks of RoBERTa's tokenizer class, which override tokenizer.json. */
static void apply_class(Hub *hub)
{
    const json_t *prefix = json_object_get(hub->json[HUB_CONFIG], "add_prefix_space");
    const json_t *trim = json_object_get(hub->json[HUB_CONFIG], "trim_offsets");
    if (!hub->is_roberta)
        return;
    hub->add_prefix_space = json_is_true(prefix);
    if (hub->trims) {
        const bool trims = !trim || json_is_true(trim);
        const bool differs =
            hub->post.trim != trims || hub->post.keeps_first != hub->add_prefix_space;
        /* A ByteLevel that differs is made anew, of trim_offsets alone: add_prefix_space is then
         * true. */
        hub->post.keeps_first = hub->add_prefix_space || (differs && hub->post_is_byte_level);
        hub->post.trim = trims;
    }
}

static bool has_types(const Hub *hub)
{
    const json_t *names = json_object_get(hub->json[HUB_CONFIG], "model_input_names");
    size_t index;
    json_t *value;
    if (!json_is_array(names))
        return !hub->is_roberta;
    json_array_foreach(names, index, value)
    {
        const char *name = json_string_value(value);
        if (name && strcmp(name, "token_type_ids") == 0)
            return true;
    }
    return false;
}

#define MOST_LENGTH 1e9 /* a larger value means that there is no limit */

static int store_settings(const Hub *hub, MegaMeta *meta, MegaError *err)
{
    const json_t *clean = json_object_get(hub->json[HUB_CONFIG], "clean_up_tokenization_spaces");
    const json_t *most = json_object_get(hub->json[HUB_CONFIG], "model_max_length");
    const int unk = hub->special[2]; /* "unk_token" */
    const MegaTextPreprocess preprocess = {
        .unit = MEGA_TEXT_SYMBOLS, .cls = -1, .eos = -1, .unk = unk < 0 ? 0 : unk};
    int code = mega_text_preprocess_write(&preprocess, meta, err);
    if (code)
        return code;
    code = mega_meta_set_string(meta, "text.tokenizer", "byte_bpe");
    if (!code)
        code = mega_meta_set_bool(meta, "text.add_prefix_space", hub->add_prefix_space);
    if (!code)
        code = mega_meta_set_bool(meta, "text.token_types", has_types(hub));
    if (!code)
        code = mega_meta_set_bool(meta, "text.clean_up", !json_is_false(clean));
    if (!code && json_number_value(most) >= 1 && json_number_value(most) <= MOST_LENGTH)
        code = mega_meta_set_int(meta, "text.max_length", (int64_t)json_number_value(most));
    if (!code && hub->unknown >= 0)
        code = mega_meta_set_int(meta, "byte_bpe.unknown", hub->unknown);
    if (!code && hub->fuse_unknown)
        code = mega_meta_set_bool(meta, "byte_bpe.fuse_unknown", true);
    return mega_meta_set_result(code, "text", err);
}

/* Warns if the vocabulary lacks bytes, since parts of texts would be lost. */
static int check_result(Hub *hub, const MegaMeta *meta, MegaError *err)
{
    MegaVocab *vocab = NULL;
    MegaByteBpe *bpe = NULL;
    int code = mega_vocab_from_meta(&vocab, meta, MEGA_VOCAB_KEY, err);
    if (!code)
        code = mega_byte_bpe_from_meta(&bpe, meta, vocab, err);
    if (!code && mega_byte_bpe_missing_bytes(bpe))
        hub_warn(hub, "%d of the 256 bytes have no token: parts of texts are %s",
                 mega_byte_bpe_missing_bytes(bpe), hub->unknown < 0 ? "left out" : "unknown");
    mega_byte_bpe_free(bpe);
    mega_vocab_free(vocab);
    return code;
}

/* ---- Reading a folder ----------------------------------------------------------------------- */

static int parse_files(Hub *hub, MegaError *err)
{
    int code = 0;
    for (int i = 0; i < HUB_FILES && !code; i++)
        if (hub->files[i].data && i != HUB_MERGES)
            code = hub_parse(&hub->json[i], &hub->files[i], err);
    return code;
}

static int read_tokenizer(Hub *hub, MegaError *err)
{
    if (hub->json[HUB_TOKENIZER])
        return hub_read_tokenizer(hub, err);
    if (hub->json[HUB_VOCAB] && hub->files[HUB_MERGES].data)
        return read_two_files(hub, err);
    return mega_fail(err, MEGA_ERR_INPUT,
                     "there is no tokenizer.json, nor vocab.json with merges.txt");
}

int hub_tokenizer_build(MegaMeta *meta, const HubFile files[HUB_FILES],
                        void (*warn)(const char *sentence), MegaError *err)
{
    Hub hub = {.warn = warn, .unknown = -1, .last_added = -1};
    for (int i = 0; i < HUB_FILES; i++) {
        hub.files[i] = files[i];
        if (!hub.files[i].name)
            hub.files[i].name = file_names[i];
    }
    int code = parse_files(&hub, err);
    if (!code)
        code = read_class(&hub, err);
    if (!code)
        code = read_tokenizer(&hub, err);
    if (!code)
        code = add_listed(&hub, err);
    if (!code)
        code = add_older(&hub, err);
    if (!code)
        code = add_decoder(&hub, err);
    if (!code)
        code = store_special(&hub, meta, err);
    if (!code && !hub.json[HUB_TOKENIZER])
        code = usual_post_processor(&hub, err);
    hub.trims = hub.trims || !hub.json[HUB_TOKENIZER];
    apply_class(&hub);
    if (!code)
        code = hub_store(&hub, meta, err);
    if (!code)
        code = store_settings(&hub, meta, err);
    if (!code)
        code = mega_post_processor_write(&hub.post, meta, err);
    if (!code)
        code = check_result(&hub, meta, err);
    hub_free(&hub);
    return code;
}

static void path_of(char path[4096], const char *folder, int file)
{
    snprintf(path, 4096, "%s/%s", folder, file_names[file]);
}

bool hub_tokenizer_exists(const char *folder)
{
    char path[4096];
    for (int i = HUB_TOKENIZER; i <= HUB_MERGES; i++) {
        path_of(path, folder, i);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

int hub_tokenizer_import(MegaMeta *meta, const char *folder, void (*warn)(const char *sentence),
                         MegaError *err)
{
    HubFile files[HUB_FILES] = {0};
    MegaBuffer contents[HUB_FILES] = {0};
    char paths[HUB_FILES][4096];
    int code = 0;
    for (int i = 0; i < HUB_FILES && !code; i++) {
        path_of(paths[i], folder, i);
        files[i].name = paths[i];
        if (access(paths[i], F_OK) != 0)
            continue;
        if (!mega_source_is_regular(paths[i])) { /* opening a FIFO would wait for a writer */
            code = mega_fail(err, MEGA_ERR_IO, "%s is not a regular file", paths[i]);
            break;
        }
        code = mega_source_read(&contents[i], paths[i], "a file of a tokenizer", HUB_MAX_FILE, err);
        files[i].data = contents[i].data ? (const char *)contents[i].data : "";
        files[i].size = contents[i].size;
    }
    if (!code && !files[HUB_TOKENIZER].data && !(files[HUB_VOCAB].data && files[HUB_MERGES].data))
        code = mega_fail(err, MEGA_ERR_INPUT,
                         "%s has no tokenizer: neither tokenizer.json, nor vocab.json with "
                         "merges.txt",
                         folder);
    if (!code)
        code = hub_tokenizer_build(meta, files, warn, err);
    for (int i = 0; i < HUB_FILES; i++)
        mega_buffer_free(&contents[i]);
    return code;
}
