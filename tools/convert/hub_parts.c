/*
 * hub_parts.c - see hub_parts.h.
 */
#include "tools/convert/hub_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint/checkpoint.h"
#include "formats/text/byte_bpe.h"

void hub_free(Hub *hub)
{
    for (int i = 0; i < HUB_FILES; i++)
        json_decref(hub->json[i]);
    json_decref(hub->ids);
    free(hub->symbols);
    free(hub->added);
    free(hub->flags);
    free(hub->merges);
}

void hub_warn(const Hub *hub, const char *format, ...)
{
    char sentence[512];
    va_list args;
    if (!hub->warn)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    hub->warn(sentence);
}

/* Returns how much memory the values of a file may take. A merge that is written as a list of two
 * short tokens becomes thirty times its bytes, and nothing that is of use becomes more. */
static uint64_t allowance(const HubFile *file)
{
    const uint64_t least = UINT64_C(64) << 20, most = UINT64_C(1) << 30, factor = 48;
    return file->size < (most - least) / factor ? least + file->size * factor : most;
}

int hub_parse(json_t **out, const HubFile *file, MegaError *err)
{
    json_error_t error;
    *out = NULL;
    if (mega_checkpoint_json_cost(file->data, file->size) > allowance(file))
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s needs more than %.1f MB of memory, the most that this file may take",
                         file->name, (double)allowance(file) / 1e6);
    *out = json_loadb(file->data, file->size, JSON_DECODE_INT_AS_REAL, &error);
    if (!*out)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: line %d: %s", file->name, error.line,
                         error.text);
    return json_is_object(*out)
               ? 0
               : mega_fail(err, MEGA_ERR_FORMAT, "%s: not a JSON object", file->name);
}

bool hub_id(const json_t *value, int32_t *id)
{
    const double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number < HUB_MAX_TOKENS))
        return false;
    *id = (int32_t)number;
    return *id == number;
}

static int no_memory(MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a tokenizer");
}

/* Makes room for one more element of `each` bytes. */
static bool grow(void **list, size_t count, size_t *capacity, size_t each)
{
    if (count < *capacity)
        return true;
    const size_t grown = *capacity ? 2 * *capacity : 256;
    void *moved = realloc(*list, grown * each);
    if (!moved)
        return false;
    *list = moved;
    *capacity = grown;
    return true;
}

/* ---- The vocabulary ------------------------------------------------------------------------- */

int32_t hub_find(const Hub *hub, const char *token)
{
    int32_t id;
    return hub_id(json_object_get(hub->ids, token), &id) ? id : -1;
}

/* Limits the holes between ids: a few bytes of JSON must not make us allocate memory for millions
 * of ids. */
static int check_id(const Hub *hub, const char *token, int32_t id, MegaError *err)
{
    const size_t limit = 2 * hub->vocab_size + HUB_MAX_HOLES;
    if ((size_t)id < limit)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "token '%.60s' has id %d, but a vocabulary of %zu tokens has ids below %zu",
                     token, id, hub->vocab_size, limit);
}

static int set_symbol(Hub *hub, const char *token, int32_t id, MegaError *err)
{
    int code = check_id(hub, token, id, err);
    if (code)
        return code;
    while ((size_t)id >= hub->symbol_count) {
        void *list = hub->symbols;
        if (!grow(&list, hub->symbol_count, &hub->symbol_capacity, sizeof *hub->symbols))
            return no_memory(err);
        hub->symbols = list;
        hub->symbols[hub->symbol_count++] = (HubSymbol){0};
    }
    const char *other = hub->symbols[id].text;
    if (other && strcmp(other, token) != 0)
        return mega_fail(err, MEGA_ERR_MODEL, "the tokens '%.60s' and '%.60s' have the same id, %d",
                         other, token, id);
    hub->symbols[id].text = token;
    return 0;
}

int hub_name(Hub *hub, const char *token, int32_t id, MegaError *err)
{
    if (json_object_set_new(hub->ids, token, json_real(id)))
        return no_memory(err);
    return set_symbol(hub, json_object_iter_key(json_object_iter_at(hub->ids, token)), id, err);
}

int hub_read_vocab(Hub *hub, json_t *vocab, const char *file, MegaError *err)
{
    const char *token;
    json_t *value;
    int code = 0;
    if (!json_is_object(vocab))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: the vocabulary is not an object", file);
    hub->ids = json_incref(vocab);
    hub->vocab_size = json_object_size(vocab);
    json_object_foreach(vocab, token, value)
    {
        int32_t id = -1;
        if (!code && !hub_id(value, &id))
            code = mega_fail(err, MEGA_ERR_FORMAT,
                             "%s: the id of token '%.60s' is not a whole number from 0 to %d", file,
                             token, HUB_MAX_TOKENS - 1);
        if (!code && strlen(token) > MEGA_VOCAB_MAX_SYMBOL)
            code = mega_fail(err, MEGA_ERR_LIMIT, "%s: token '%.60s' has more than %d bytes", file,
                             token, MEGA_VOCAB_MAX_SYMBOL);
        if (!code)
            code = set_symbol(hub, token, id, err);
    }
    return code;
}

int hub_add_merge(Hub *hub, const char *left, const char *right, const char *file,
                  const char *where, MegaError *err)
{
    char merged[2 * 1024];
    const char *tokens[] = {left, right, merged};
    void *list = hub->merges;
    if (snprintf(merged, sizeof merged, "%s%s", left, right) >= (int)sizeof merged)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s: the merge in %s makes too long a token", file,
                         where);
    if (hub->merge_count == MEGA_BYTE_BPE_MAX_MERGES)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s has more than %u merges", file,
                         MEGA_BYTE_BPE_MAX_MERGES);
    if (!grow(&list, hub->merge_count, &hub->merge_capacity, 3 * sizeof *hub->merges))
        return no_memory(err);
    hub->merges = list;
    for (int i = 0; i < 3; i++) {
        const int32_t id = hub_find(hub, tokens[i]);
        if (id < 0)
            return mega_fail(err, MEGA_ERR_MODEL,
                             "%s: the merge in %s has the token '%.60s', which the vocabulary does "
                             "not have",
                             file, where, tokens[i]);
        hub->merges[3 * hub->merge_count + (size_t)i] = id;
    }
    hub->merge_count++;
    return 0;
}

/* ---- Added tokens --------------------------------------------------------------------------- */

int hub_read_added(const json_t *value, const char *file, HubAdded *out, MegaError *err)
{
    static const struct {
        const char *key;
        unsigned flag;
    } flags[] = {
        {"special", MEGA_ADDED_SPECIAL},       {"lstrip", MEGA_ADDED_LSTRIP},
        {"rstrip", MEGA_ADDED_RSTRIP},         {"single_word", MEGA_ADDED_SINGLE_WORD},
        {"normalized", MEGA_ADDED_NORMALIZED},
    };
    const json_t *normalized = json_object_get(value, "normalized");
    *out = (HubAdded){.text = json_string_value(json_object_get(value, "content"))};
    if (!out->text)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: an added token has no \"content\"", file);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (json_is_true(json_object_get(value, flags[i].key)))
            out->flags |= flags[i].flag;
    if (!normalized && !(out->flags & MEGA_ADDED_SPECIAL))
        out->flags |= MEGA_ADDED_NORMALIZED;
    return 0;
}

bool hub_is_added(const Hub *hub, int32_t id)
{
    return id >= 0 && hub->symbols[id].added > 0;
}

int hub_add(Hub *hub, const HubAdded *added, int32_t *id, MegaError *err)
{
    *id = hub_find(hub, added->text);
    if (*id < 0) {
        const int64_t next = hub->last_added >= (int64_t)hub->vocab_size ? hub->last_added + 1
                                                                         : (int64_t)hub->vocab_size;
        if (next >= HUB_MAX_TOKENS)
            return mega_fail(err, MEGA_ERR_LIMIT, "the vocabulary has more than %d tokens",
                             HUB_MAX_TOKENS);
        *id = (int32_t)next;
        int code = hub_name(hub, added->text, *id, err);
        if (code)
            return code;
    }
    const size_t at = hub->symbols[*id].added ? hub->symbols[*id].added - 1 : hub->added_count;
    size_t capacity = hub->added_capacity;
    void *ids = hub->added, *flags = hub->flags;
    if (at == MEGA_ADDED_MAX)
        return mega_fail(err, MEGA_ERR_LIMIT, "there are more than %d added tokens",
                         MEGA_ADDED_MAX);
    if (!grow(&ids, at, &capacity, sizeof *hub->added))
        return no_memory(err);
    hub->added = ids;
    if (!grow(&flags, at, &hub->added_capacity, sizeof *hub->flags))
        return no_memory(err);
    hub->flags = flags;
    hub->added_count += at == hub->added_count;
    hub->symbols[*id].added = (uint32_t)at + 1;
    hub->added[at] = *id;
    hub->flags[at] = added->flags;
    hub->last_added = *id > hub->last_added ? *id : hub->last_added;
    return 0;
}

/* ---- Parts with a type ---------------------------------------------------------------------- */

/* Finds the type of a part, which is "" if the part is null or absent. A type that is not in
 * `types` is an error, which lists the supported ones. */
static int part_type(const Hub *hub, const char *part, const char *const *types, const char **found,
                     MegaError *err)
{
    const json_t *value = json_object_get(hub->json[HUB_TOKENIZER], part);
    const char *type = json_string_value(json_object_get(value, "type"));
    char expected[160] = "";
    *found = !value || json_is_null(value) ? "" : type ? type : "(none)";
    for (size_t i = 0; types[i]; i++) {
        if (strcmp(types[i], *found) == 0)
            return 0;
        const size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "",
                 *types[i] ? types[i] : "null");
    }
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "%s: %s of type '%.60s' is not supported; expected %s",
                     hub->files[HUB_TOKENIZER].name, part, **found ? *found : "null", expected);
}

static const json_t *part_value(const Hub *hub, const char *part, const char *key)
{
    return json_object_get(json_object_get(hub->json[HUB_TOKENIZER], part), key);
}

static int refuse_value(const Hub *hub, const char *part, const char *key, const char *expected,
                        MegaError *err)
{
    char *value = json_dumps(part_value(hub, part, key), JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    mega_fail(err, MEGA_ERR_UNSUPPORTED, "%s: %s with %s %.60s is not supported; expected %s",
              hub->files[HUB_TOKENIZER].name, part, key, value ? value : "", expected);
    free(value);
    return MEGA_ERR_UNSUPPORTED;
}

static int check_types(const Hub *hub, MegaError *err)
{
    static const char *const none[] = {"", NULL}, *const byte_level[] = {"ByteLevel", NULL};
    const char *type;
    int code = part_type(hub, "normalizer", none, &type, err);
    if (!code)
        code = part_type(hub, "pre_tokenizer", byte_level, &type, err);
    if (!code)
        code = part_type(hub, "decoder", byte_level, &type, err);
    if (!code && json_is_false(part_value(hub, "pre_tokenizer", "use_regex")))
        code = refuse_value(hub, "pre_tokenizer", "use_regex", "true", err);
    return code;
}

/* ---- The model ------------------------------------------------------------------------------ */

static bool is_empty_text(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_string(value) && !json_string_length(value));
}

static int check_model(const Hub *hub, MegaError *err)
{
    static const char *const switches[] = {"byte_fallback", "ignore_merges"};
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    static const char *const bpe[] = {"BPE", NULL};
    const json_t *dropout = part_value(hub, "model", "dropout");
    const char *type;
    if (part_value(hub, "model", "type") || !part_value(hub, "model", "merges")) {
        int code = part_type(hub, "model", bpe, &type, err);
        if (code)
            return code;
    }
    if (dropout && !json_is_null(dropout) &&
        !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return refuse_value(hub, "model", "dropout", "null", err);
    for (int i = 0; i < 2; i++) {
        if (json_is_true(part_value(hub, "model", switches[i])))
            return refuse_value(hub, "model", switches[i], "false", err);
        if (!is_empty_text(part_value(hub, "model", texts[i])))
            return refuse_value(hub, "model", texts[i], "null", err);
    }
    return 0;
}

/* Adds a merge, which is "left right" or ["left", "right"]. */
static int read_merge(Hub *hub, const json_t *value, size_t number, MegaError *err)
{
    const char *left = json_string_value(json_array_get(value, 0));
    const char *right = json_string_value(json_array_get(value, 1));
    const char *name = hub->files[HUB_TOKENIZER].name, *text = json_string_value(value);
    char copy[1024], where[32];
    if (text) {
        if (strncmp(text, "#version", 8) == 0)
            return 0;
        const char *blank = strchr(text, ' ');
        const bool is_pair =
            blank && !strchr(blank + 1, ' ') && (size_t)(blank - text) < sizeof copy;
        if (is_pair) {
            snprintf(copy, sizeof copy, "%.*s", (int)(blank - text), text);
            left = copy;
            right = blank + 1;
        }
    }
    if (!left || !right || (!text && json_array_size(value) != 2))
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s: merge %zu is not two tokens: \"left right\" or [\"left\", \"right\"]",
                         name, number);
    snprintf(where, sizeof where, "row %zu", number);
    return hub_add_merge(hub, left, right, name, where, err);
}

static int read_model(Hub *hub, MegaError *err)
{
    const char *name = hub->files[HUB_TOKENIZER].name;
    json_t *vocab = json_object_get(json_object_get(hub->json[HUB_TOKENIZER], "model"), "vocab");
    const json_t *merges = part_value(hub, "model", "merges"), *unknown;
    size_t index;
    json_t *value;
    int code = check_model(hub, err);
    if (!code)
        code = hub_read_vocab(hub, vocab, name, err);
    if (code)
        return code;
    if (!json_is_array(merges))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: the model has no list of merges", name);
    json_array_foreach(merges, index,
                       value) if ((code = read_merge(hub, value, index + 1, err))) return code;
    hub->fuse_unknown = json_is_true(part_value(hub, "model", "fuse_unk"));
    unknown = part_value(hub, "model", "unk_token");
    if (!unknown || json_is_null(unknown))
        return 0;
    hub->unknown = json_is_string(unknown) ? hub_find(hub, json_string_value(unknown)) : -1;
    if (hub->unknown < 0)
        return mega_fail(err, MEGA_ERR_MODEL, "%s: the vocabulary does not have the unk_token",
                         name);
    return 0;
}

/* ---- The post-processor --------------------------------------------------------------------- */

static void add_piece(MegaTemplate *template, int32_t piece, int32_t type)
{
    if (template->count < MEGA_TEMPLATE_MAX)
        template->pieces[template->count++] = (MegaTemplatePiece){piece, type};
}

void hub_set_roberta(MegaPostProcessor *post, int32_t cls, int32_t sep)
{
    const int32_t pair[] = {cls, MEGA_PIECE_A, sep, sep, MEGA_PIECE_B, sep};
    post->single.count = post->pair.count = 0;
    for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) {
        add_piece(&post->pair, pair[i], 0);
        if (i < 3)
            add_piece(&post->single, pair[i], 0);
    }
}

/* Reads "cls" or "sep" of RobertaProcessing, a pair of token and id. */
static int roberta_token(const Hub *hub, const char *key, int32_t *id, MegaError *err)
{
    const json_t *pair = part_value(hub, "post_processor", key);
    if (hub_id(json_array_get(pair, 1), id))
        return 0;
    return mega_fail(err, MEGA_ERR_FORMAT, "%s: %s of the post_processor is not a token and its id",
                     hub->files[HUB_TOKENIZER].name, key);
}

/* Reads {"SpecialToken": {"id": ..., "type_id": ...}} or {"Sequence": ...}. The list
 * "special_tokens" gives the one or more ids of a special token. */
static int template_piece(const Hub *hub, const json_t *value, MegaTemplate *out, MegaError *err)
{
    const json_t *special = json_object_get(value, "SpecialToken");
    const json_t *piece = special ? special : json_object_get(value, "Sequence");
    const char *name = json_string_value(json_object_get(piece, "id"));
    const char *file = hub->files[HUB_TOKENIZER].name;
    int32_t type = 0, id;
    if (!name || !hub_id(json_object_get(piece, "type_id"), &type) || type > 1)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s: a piece of the post_processor's template is neither a SpecialToken "
                         "nor a Sequence of type 0 or 1",
                         file);
    if (!special) {
        add_piece(out, strcmp(name, "B") == 0 ? MEGA_PIECE_B : MEGA_PIECE_A, type);
        return 0;
    }
    const json_t *tokens = part_value(hub, "post_processor", "special_tokens");
    const json_t *ids = json_object_get(json_object_get(tokens, name), "ids");
    size_t index;
    json_t *one;
    if (!json_is_array(ids))
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s: the post_processor's template has the token '%.60s', which its list "
                         "of special tokens does not have",
                         file, name);
    json_array_foreach(ids, index, one)
    {
        if (!hub_id(one, &id))
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s: the post_processor's token '%.60s' has an id that is none", file,
                             name);
        add_piece(out, id, type);
    }
    return 0;
}

static int read_template(const Hub *hub, const char *key, MegaTemplate *out, MegaError *err)
{
    const json_t *list = part_value(hub, "post_processor", key);
    size_t index;
    json_t *value;
    if (!json_is_array(list) || json_array_size(list) > MEGA_TEMPLATE_MAX)
        return mega_fail(err, MEGA_ERR_FORMAT,
                         "%s: the template '%s' of the post_processor is not a list of at most %d "
                         "pieces",
                         hub->files[HUB_TOKENIZER].name, key, MEGA_TEMPLATE_MAX);
    json_array_foreach(list, index, value)
    {
        int code = template_piece(hub, value, out, err);
        if (code)
            return code;
    }
    if (out->count < MEGA_TEMPLATE_MAX)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT, "%s: the template '%s' has %d tokens or more",
                     hub->files[HUB_TOKENIZER].name, key, MEGA_TEMPLATE_MAX);
}

static bool is_not_false(const json_t *value)
{
    return !json_is_false(value);
}

static int read_post_processor(Hub *hub, MegaError *err)
{
    static const char *const types[] = {"", "RobertaProcessing", "TemplateProcessing", "ByteLevel",
                                        NULL};
    MegaPostProcessor *post = &hub->post;
    const char *type;
    int32_t cls = 0, sep = 0;
    int code = part_type(hub, "post_processor", types, &type, err);
    if (code)
        return code;
    hub->trims = *type == 'R' || *type == 'B';
    hub->post_is_byte_level = *type == 'B';
    post->trim = hub->trims && is_not_false(part_value(hub, "post_processor", "trim_offsets"));
    post->keeps_first =
        hub->trims && is_not_false(part_value(hub, "post_processor", "add_prefix_space"));
    if (*type == 'R') {
        if (!(code = roberta_token(hub, "cls", &cls, err)) &&
            !(code = roberta_token(hub, "sep", &sep, err)))
            hub_set_roberta(post, cls, sep);
        return code;
    }
    if (*type == 'T') {
        code = read_template(hub, "single", &post->single, err);
        return code ? code : read_template(hub, "pair", &post->pair, err);
    }
    add_piece(&post->single, MEGA_PIECE_A, 0);
    add_piece(&post->pair, MEGA_PIECE_A, 0);
    add_piece(&post->pair, MEGA_PIECE_B, 1);
    return 0;
}

int hub_read_tokenizer(Hub *hub, MegaError *err)
{
    int code = check_types(hub, err);
    if (!code)
        code = read_model(hub, err);
    if (!code)
        code = read_post_processor(hub, err);
    hub->add_prefix_space = is_not_false(part_value(hub, "pre_tokenizer", "add_prefix_space"));
    return code;
}

/* ---- Storing -------------------------------------------------------------------------------- */

int hub_store(const Hub *hub, MegaMeta *meta, MegaError *err)
{
    const char **symbols = calloc(hub->symbol_count + 1, sizeof *symbols);
    if (!symbols)
        return no_memory(err);
    for (size_t i = 0; i < hub->symbol_count; i++)
        symbols[i] = hub->symbols[i].text ? hub->symbols[i].text : "";
    int code = mega_meta_set_strings(meta, MEGA_VOCAB_KEY, symbols, hub->symbol_count);
    free(symbols);
    if (!code && hub->merge_count)
        code = mega_meta_set_ints(meta, "byte_bpe.merges", hub->merges, 3 * hub->merge_count);
    if (!code && hub->added_count)
        code = mega_meta_set_ints(meta, "text.added", hub->added, hub->added_count);
    if (!code && hub->added_count)
        code = mega_meta_set_ints(meta, "text.added_flags", hub->flags, hub->added_count);
    return mega_meta_set_result(code, "text", err);
}
