/*
 * tokens.c - see tokens.h.
 */
#include "formats/text/tokens.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- Lists of tokens ------------------------------------------------------------------------ */

void mega_tokens_grow(MegaTokens *tokens)
{
    if (tokens->failed)
        return;
    const size_t grown = tokens->capacity ? tokens->capacity * 2 : 64;
    MegaToken *moved = realloc(tokens->data, grown * sizeof *moved);
    tokens->failed = !moved;
    if (moved) {
        tokens->data = moved;
        tokens->capacity = grown;
    }
}

void mega_tokens_free(MegaTokens *tokens)
{
    free(tokens->data);
    *tokens = (MegaTokens){0};
}

/* ---- Templates ------------------------------------------------------------------------------ */

static int read_template(MegaTemplate *out, const MegaMeta *meta, const char *key, int vocab_size,
                         MegaError *err)
{
    const MegaMetaValue *value;
    int code = mega_meta_get_optional(meta, key, MEGA_META_INTS, &value, err);
    if (code || !value)
        return code;
    if (value->count % 2 || value->count > 2 * MEGA_TEMPLATE_MAX)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "metadata key '%s' has %" PRIu64
                         " numbers; expected pairs of a piece and a type, at most %d",
                         key, value->count, MEGA_TEMPLATE_MAX);
    for (uint64_t i = 0; i < value->count; i += 2) {
        const int64_t piece = value->integers[i], type = value->integers[i + 1];
        if (piece < MEGA_PIECE_B || piece >= vocab_size || type < 0 || type > 1)
            return mega_fail(err, MEGA_ERR_MODEL,
                             "metadata key '%s' has piece %" PRId64 " of type %" PRId64
                             "; expected a token of the vocabulary or -1 or -2, and type 0 or 1",
                             key, piece, type);
        out->pieces[out->count++] =
            (MegaTemplatePiece){.piece = (int32_t)piece, .type = (int32_t)type};
    }
    return 0;
}

static int read_flag(bool *out, const MegaMeta *meta, const char *key, MegaError *err)
{
    const MegaMetaValue *value;
    int code = mega_meta_get_optional(meta, key, MEGA_META_BOOL, &value, err);
    *out = !code && value && value->boolean;
    return code;
}

int mega_post_processor_read(MegaPostProcessor *out, const MegaMeta *meta, int vocab_size,
                             MegaError *err)
{
    *out = (MegaPostProcessor){0};
    int code = read_template(&out->single, meta, "text.single", vocab_size, err);
    if (!code)
        code = read_template(&out->pair, meta, "text.pair", vocab_size, err);
    if (!code)
        code = read_flag(&out->trim, meta, "text.trim_offsets", err);
    if (!code)
        code = read_flag(&out->keeps_first, meta, "text.trim_keeps_first", err);
    return code;
}

static int write_template(const MegaTemplate *from, MegaMeta *meta, const char *key)
{
    int64_t values[2 * MEGA_TEMPLATE_MAX];
    if (!from->count)
        return 0;
    for (size_t i = 0; i < from->count; i++) {
        values[2 * i] = from->pieces[i].piece;
        values[2 * i + 1] = from->pieces[i].type;
    }
    return mega_meta_set_ints(meta, key, values, 2 * from->count);
}

int mega_post_processor_write(const MegaPostProcessor *post, MegaMeta *meta, MegaError *err)
{
    int code = write_template(&post->single, meta, "text.single");
    if (!code)
        code = write_template(&post->pair, meta, "text.pair");
    if (!code && post->trim)
        code = mega_meta_set_bool(meta, "text.trim_offsets", true);
    if (!code && post->keeps_first)
        code = mega_meta_set_bool(meta, "text.trim_keeps_first", true);
    return mega_meta_set_result(code, "text", err);
}

/* Returns how many tokens a template adds. */
static size_t special_count(const MegaTemplate *template)
{
    size_t count = 0;
    for (size_t i = 0; i < template->count; i++)
        count += template->pieces[i].piece >= 0;
    return count;
}

/* ---- Truncation and windows ----------------------------------------------------------------- */

static const MegaTemplate *template_of(const MegaTokenized *tokenized)
{
    return tokenized->count == 2 ? &tokenized->post->pair : &tokenized->post->single;
}

/* Cuts two sequences to the available room. The shorter one keeps its length unless the other would
 * become shorter than it. */
static void cut_longest(MegaTokenized *tokenized, size_t room)
{
    size_t *length = tokenized->length;
    if (tokenized->count == 1) {
        length[0] = room < length[0] ? room : length[0];
        return;
    }
    const int shorter = length[1] < length[0], longer = 1 - shorter;
    size_t small = length[shorter], large = length[longer];
    if (small > room)
        large = small;
    else
        large = small > room - small ? small : room - small;
    if (small + large > room) {
        small = room / 2;
        large = small + room % 2;
    }
    length[shorter] = small;
    length[longer] = large;
}

static int fail_short(size_t max_length, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_INPUT,
                     "a text cannot be cut to %zu tokens: the tokens that stay take all of them",
                     max_length);
}

/* Cuts one sequence by the whole excess of both. */
static int cut_one(MegaTokenized *tokenized, int which, size_t excess, size_t max_length,
                   MegaError *err)
{
    if (which >= tokenized->count)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the second text is to be cut, but there is only one text");
    if (excess >= tokenized->length[which])
        return fail_short(max_length, err);
    tokenized->length[which] -= excess;
    return 0;
}

/* Divides the sequence that was cut into windows. */
static int plan_windows(MegaTokenized *tokenized, int which, size_t stride, MegaError *err)
{
    const size_t all = tokenized->sequences[which].count, room = tokenized->length[which];
    if (room == all)
        return 0;
    if (stride >= room)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "windows of %zu tokens cannot overlap by %zu: an overlap must be smaller",
                         room, stride);
    tokenized->windowed = which;
    tokenized->step = room - stride;
    tokenized->windows = 1 + (all - room + tokenized->step - 1) / tokenized->step;
    return 0;
}

int mega_tokenized_plan(MegaTokenized *tokenized, const MegaEncodeOptions *options, MegaError *err)
{
    tokenized->no_special = options->no_special;
    tokenized->windows = 1;
    for (int i = 0; i < tokenized->count; i++)
        tokenized->length[i] = tokenized->sequences[i].count;
    if (tokenized->count == 2 && !tokenized->post->pair.count)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "the tokenizer of this model has no form for two texts");
    if (!options->max_length)
        return 0;
    const size_t special = options->no_special ? 0 : special_count(template_of(tokenized));
    const size_t total = tokenized->length[0] + tokenized->length[1];
    if (special > options->max_length)
        return fail_short(options->max_length, err);
    const size_t room = options->max_length - special;
    if (total <= room)
        return 0;
    const int which = options->truncation == MEGA_TRUNCATE_SECOND;
    int code = 0;
    if (options->truncation == MEGA_TRUNCATE_LONGEST)
        cut_longest(tokenized, room);
    else
        code = cut_one(tokenized, which, total - room, options->max_length, err);
    if (code || !options->windows)
        return code;
    if (options->truncation == MEGA_TRUNCATE_LONGEST && tokenized->count == 2)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "windows move over one of two texts: it must be said which one");
    return plan_windows(tokenized, which, options->stride, err);
}

void mega_tokenized_free(MegaTokenized *tokenized)
{
    mega_tokens_free(&tokenized->sequences[0]);
    mega_tokens_free(&tokenized->sequences[1]);
}

/* ---- One window ----------------------------------------------------------------------------- */

/* A blank at the beginning of the first token, or of the text, may have been added by the
 * tokenizer. It is not in the text, so it is not trimmed. */
static void trim(MegaToken *token, bool first, bool keeps_first)
{
    uint32_t leading = token->leading, trailing = token->trailing;
    if (leading == 1 && keeps_first && (first || token->start == 0))
        leading = 0;
    token->start = leading < token->end - token->start ? token->start + leading : token->end;
    if (token->end >= trailing)
        token->end = token->end - token->start > trailing ? token->end - trailing : token->start;
}

static void add_sequence(const MegaTokenized *tokenized, int which, uint8_t type, size_t index,
                         MegaTokens *out)
{
    const MegaTokens *all = &tokenized->sequences[which];
    const size_t from = which == tokenized->windowed ? index * tokenized->step : 0;
    const size_t left = all->count - from, length = tokenized->length[which];
    for (size_t i = 0; i < (left < length ? left : length); i++) {
        MegaToken token = all->data[from + i];
        token.type = type;
        token.sequence = (int8_t)which;
        if (tokenized->post->trim)
            trim(&token, i == 0, tokenized->post->keeps_first);
        mega_tokens_add(out, &token);
    }
}

int mega_tokenized_window(const MegaTokenized *tokenized, size_t index, MegaTokens *out,
                          MegaError *err)
{
    const MegaTemplate *template = template_of(tokenized);
    if (!template->count)
        add_sequence(tokenized, 0, 0, index, out);
    for (size_t i = 0; i < template->count; i++) {
        const MegaTemplatePiece piece = template->pieces[i];
        if (piece.piece == MEGA_PIECE_A)
            add_sequence(tokenized, 0, (uint8_t)piece.type, index, out);
        else if (piece.piece == MEGA_PIECE_B)
            add_sequence(tokenized, 1, (uint8_t)piece.type, index, out);
        else if (!tokenized->no_special)
            mega_tokens_add(out, &(MegaToken){.id = piece.piece,
                                              .word = -1,
                                              .type = (uint8_t)piece.type,
                                              .sequence = -1});
    }
    return out->failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens of a text") : 0;
}
