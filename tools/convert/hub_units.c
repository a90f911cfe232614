/*
 * hub_units.c - see hub_units.h.
 */
#include "tools/convert/hub_units.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/checkpoint/checkpoint.h"
#include "formats/text/text_input.h"
#include "formats/text/units.h"
#include "src/base/utf8.h"
#include "tools/common/messages.h"

#define MAX_MEMORY (UINT64_C(1) << 28)
#define MAX_SPECIAL 16

typedef struct Tokens {
    const char **symbols; /* [count], by id; they point into text or json */
    size_t count;
    MegaBuffer text;
    json_t *json;
    struct {
        char name[16];
        int32_t id;
    } special[MAX_SPECIAL];
    size_t special_count;
} Tokens;

static void free_tokens(Tokens *tokens)
{
    free(tokens->symbols);
    mega_buffer_free(&tokens->text);
    json_decref(tokens->json);
}

/* ---- The vocabulary ------------------------------------------------------------------------- */

static int no_memory(MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a vocabulary");
}

/* Takes one token a line; empty lines at the end do not count. */
static int take_lines(Tokens *tokens, int rows, const char *path, MegaError *err)
{
    char *rest = NULL, *text = (char *)tokens->text.data;
    size_t size = tokens->text.size;
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        size--;
    text[size] = '\0';
    tokens->symbols = calloc((size_t)rows + 1, sizeof *tokens->symbols);
    if (!tokens->symbols)
        return no_memory(err);
    for (char *line = text; line; line = rest) {
        rest = strchr(line, '\n');
        if (rest)
            *rest++ = '\0';
        line = mega_utf8_strip(line);
        if (!*line && !rest)
            break;
        if (tokens->count == (size_t)rows)
            return mega_fail(err, MEGA_ERR_MODEL, "%s has more tokens than the model, which has %d",
                             path, rows);
        tokens->symbols[tokens->count++] = line;
    }
    return 0;
}

/* Returns whether a text is a JSON object or list, and not lines of which the first is a token such
 * as "[PAD]". */
static bool is_json(const char *text)
{
    const char *first = text + strspn(text, " \t\r\n");
    const char *second = first + 1 + (*first ? strspn(first + 1, " \t\r\n") : 0);
    return *first == '{'   ? *second == '"' || *second == '}' || !*second
           : *first == '[' ? *second && strchr("\"[]{-0123456789", *second)
                           : false;
}

/* Takes an object {token: id} or a list of tokens. */
static int take_json(Tokens *tokens, int rows, const char *path, MegaError *err)
{
    json_error_t problem;
    const char *token;
    json_t *value;
    size_t index;
    if (mega_checkpoint_json_cost((const char *)tokens->text.data, tokens->text.size) > MAX_MEMORY)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s needs more than %.1f MB of memory", path,
                         (double)MAX_MEMORY / 1e6);
    tokens->json = json_loads((const char *)tokens->text.data, 0, &problem);
    if (!tokens->json)
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: line %d: %s", path, problem.line, problem.text);
    tokens->count = json_is_array(tokens->json) ? json_array_size(tokens->json)
                                                : json_object_size(tokens->json);
    if (tokens->count > (size_t)rows)
        return mega_fail(err, MEGA_ERR_MODEL, "%s has %zu tokens, but the model only %d", path,
                         tokens->count, rows);
    tokens->symbols = calloc(tokens->count + 1, sizeof *tokens->symbols);
    if (!tokens->symbols)
        return no_memory(err);
    json_array_foreach(tokens->json, index, value) tokens->symbols[index] =
        json_string_value(value);
    json_object_foreach(tokens->json, token, value)
    {
        const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || (size_t)id >= tokens->count || tokens->symbols[id])
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s: the id of token '%.60s' is not one of 0 to %zu, each once", path,
                             token, tokens->count - 1);
        tokens->symbols[id] = token;
    }
    for (size_t i = 0; i < tokens->count; i++)
        if (!tokens->symbols[i])
            return mega_fail(err, MEGA_ERR_FORMAT, "%s: token %zu is not text", path, i);
    return 0;
}

static int read_vocab(Tokens *tokens, const char *path, int rows, MegaError *err)
{
    const MegaTextRules rules = {
        .what = "a vocabulary", .marks_inside = true, .limit = MEGA_VOCAB_MAX_FILE};
    int code = mega_text_read(&tokens->text, path, &rules, NULL, err);
    mega_put_u8(&tokens->text, 0);
    if (code || tokens->text.failed)
        return code ? code : no_memory(err);
    tokens->text.size--;
    code = is_json((const char *)tokens->text.data) ? take_json(tokens, rows, path, err)
                                                    : take_lines(tokens, rows, path, err);
    if (!code && tokens->count == 0)
        code = mega_fail(err, MEGA_ERR_MODEL, "%s has no token", path);
    return code;
}

static int32_t find(const Tokens *tokens, const char *symbol)
{
    for (size_t i = 0; i < tokens->count; i++)
        if (strcmp(tokens->symbols[i], symbol) == 0)
            return (int32_t)i;
    return -1;
}

/* ---- Special tokens and templates ----------------------------------------------------------- */

/* Takes --special, "cls=<s>,sep=<sep>". */
static int take_special(Tokens *tokens, MegaMeta *meta, const char *list, MegaError *err)
{
    static const char *const names[] = {"cls", "sep", "unk", "pad", "mask", "bos", "eos"};
    char *copy = list ? strdup(list) : NULL, *rest = NULL, key[32];
    int code = list && !copy ? no_memory(err) : 0;
    for (char *part = copy ? strtok_r(copy, ",", &rest) : NULL; part && !code;
         part = strtok_r(NULL, ",", &rest)) {
        char *token = strchr(part, '=');
        bool known = false;
        if (token)
            *token++ = '\0';
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            known |= strcmp(names[i], part) == 0;
        const int32_t id = token ? find(tokens, token) : -1;
        if (!token || !known || tokens->special_count == MAX_SPECIAL)
            code = mega_fail(err, MEGA_ERR_ARGUMENT,
                             "--special has '%.60s'; expected cls=, sep=, unk=, pad=, mask=, bos= "
                             "or eos=, each with a token",
                             part);
        else if (id < 0)
            code = mega_fail(err, MEGA_ERR_MODEL, "the vocabulary has no token '%.60s' (%s)", token,
                             part);
        if (code)
            break;
        snprintf(tokens->special[tokens->special_count].name, 16, "%s", part);
        tokens->special[tokens->special_count++].id = id;
        snprintf(key, sizeof key, "special.%s", part);
        code = mega_meta_set_result(mega_meta_set_int(meta, key, id), "special", err);
    }
    free(copy);
    return code;
}

static bool is_special(const Tokens *tokens, int32_t id)
{
    for (size_t i = 0; i < tokens->special_count; i++)
        if (tokens->special[i].id == id)
            return true;
    return false;
}

/* Returns the piece that a word of a template stands for: a text, a special token by its name, or a
 * token of the vocabulary. */
static bool find_piece(const Tokens *tokens, const char *word, int32_t *piece)
{
    *piece = strcmp(word, "A") == 0 ? MEGA_PIECE_A : strcmp(word, "B") == 0 ? MEGA_PIECE_B : 0;
    if (*piece < 0)
        return true;
    for (size_t i = 0; i < tokens->special_count; i++)
        if (strcmp(tokens->special[i].name, word) == 0) {
            *piece = tokens->special[i].id;
            return true;
        }
    *piece = find(tokens, word);
    return *piece >= 0;
}

/* Takes --template, "cls A sep". One with B is for two texts. */
static int take_template(const Tokens *tokens, MegaPostProcessor *post, const char *text,
                         MegaError *err)
{
    MegaTemplate template = {.count = 0};
    char *copy = strdup(text), *rest = NULL;
    bool has_first = false, has_second = false;
    int code = copy ? 0 : no_memory(err);
    for (char *word = copy ? strtok_r(copy, " ", &rest) : NULL; word && !code;
         word = strtok_r(NULL, " ", &rest)) {
        int32_t piece;
        if (!find_piece(tokens, word, &piece))
            code = mega_fail(err, MEGA_ERR_ARGUMENT,
                             "--template has '%.60s', which is neither A, B, a name of --special, "
                             "nor a token of the vocabulary",
                             word);
        else if (template.count == MEGA_TEMPLATE_MAX)
            code = mega_fail(err, MEGA_ERR_LIMIT, "--template has more than %d pieces",
                             MEGA_TEMPLATE_MAX);
        else
            template.pieces[template.count++] = (MegaTemplatePiece){piece, 0};
        has_first |= !code && piece == MEGA_PIECE_A;
        has_second |= !code && piece == MEGA_PIECE_B;
    }
    free(copy);
    if (!code && !has_first)
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "--template '%.60s' has no A, the text", text);
    if (!code)
        *(has_second ? &post->pair : &post->single) = template;
    return code;
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Stores the tokens that are found literally in a text: the special ones and, where a unit is a
 * character or a byte, all others that are longer. */
static int store_added(const Tokens *tokens, MegaMeta *meta, MegaTextUnit unit, MegaError *err)
{
    int64_t *ids = calloc(tokens->count + 1, sizeof *ids);
    int64_t *flags = calloc(tokens->count + 1, sizeof *flags);
    size_t count = 0;
    int code = ids && flags ? 0 : MEGA_ERR_MEMORY;
    for (size_t i = 0; i < tokens->count && !code; i++) {
        const char *symbol = tokens->symbols[i];
        const bool special = is_special(tokens, (int32_t)i);
        const bool literal = unit == MEGA_TEXT_CHARACTERS && *symbol &&
                             symbol[mega_utf8_decode(symbol, strlen(symbol), NULL)] != '\0';
        if ((!special && !literal) || !*symbol || count == MEGA_ADDED_MAX ||
            strlen(symbol) > MEGA_ADDED_MAX_TEXT)
            continue;
        ids[count] = (int64_t)i;
        flags[count++] = special ? MEGA_ADDED_SPECIAL : 0;
    }
    if (!code)
        code = mega_meta_set_ints(meta, "text.added", ids, count);
    if (!code)
        code = mega_meta_set_ints(meta, "text.added_flags", flags, count);
    free(ids);
    free(flags);
    return mega_meta_set_result(code, "text", err);
}

int hub_units_import(MegaMeta *meta, const MetadataOptions *options, int rows, MegaError *err)
{
    const MegaTextPreprocess preprocess = {
        .unit = options->text_unit >= 0 ? (MegaTextUnit)options->text_unit : MEGA_TEXT_SYMBOLS,
        .cls = -1,
        .eos = -1};
    Tokens tokens = {.symbols = NULL};
    MegaPostProcessor post = {.single.count = 0};
    int code = read_vocab(&tokens, options->vocab, rows, err);
    if (!code && mega_meta_set_strings(meta, MEGA_VOCAB_KEY, tokens.symbols, tokens.count))
        code = mega_fail(err, MEGA_ERR_MODEL,
                         "the vocabulary cannot be stored: not UTF-8, or too long");
    if (!code)
        code = take_special(&tokens, meta, options->special, err);
    for (int i = 0; i < options->template_count && !code; i++)
        code = take_template(&tokens, &post, options->templates[i], err);
    if (!code && !post.single.count)
        post.single.pieces[post.single.count++] = (MegaTemplatePiece){MEGA_PIECE_A, 0};
    if (!code)
        code = mega_text_preprocess_write(&preprocess, meta, err);
    if (!code)
        code = mega_meta_set_result(mega_meta_set_string(meta, "text.tokenizer", "units"), "text",
                                    err);
    if (!code && options->upper && options->lower)
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "--upper or --lower, not both");
    if (!code && (options->upper || options->lower))
        code = mega_meta_set_result(
            mega_meta_set_string(meta, "text.case", options->upper ? "upper" : "lower"), "text",
            err);
    if (!code && preprocess.unit == MEGA_TEXT_CHARACTERS && !options->unknown_each)
        code =
            mega_meta_set_result(mega_meta_set_bool(meta, "text.fuse_unknown", true), "text", err);
    if (!code)
        code = store_added(&tokens, meta, preprocess.unit, err);
    if (!code)
        code = mega_post_processor_write(&post, meta, err);
    free_tokens(&tokens);
    return code;
}
