/*
 * tag.c - tags the tokens of a text, and joins them to words and groups.
 *
 *   tokens -> [words: a token that does not begin after a blank continues the one before]
 *          -> [groups: neighbours of the same label without "B-" and "I-", unless one begins with
 *             "B-"] -> those named "O" are left out
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/pipeline/tokens.h"

void mega_tags_free(MegaTags *tags)
{
    if (!tags)
        return;
    for (size_t i = 0; i < tags->count; i++)
        mega_text_free(&tags->items[i].word);
    free(tags->items);
    *tags = (MegaTags){0};
}

/* A token, or the tokens of a word, that has one label. */
typedef struct Entity {
    size_t first, last; /* tokens of the input, both included */
    int label;
    float score;
} Entity;

typedef struct Tagger {
    const MegaPipeline *pipeline;
    const MegaCharacters *text;
    const MegaTokenInput *input;
    float *scores; /* [tokens][classes] probabilities */
    size_t classes;
    Entity *entities; /* [count] */
    size_t count;
} Tagger;

static int best_label(const float *scores, size_t classes)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (scores[c] > scores[best])
            best = c;
    return (int)best;
}

/* Returns for each code point of the text whether it is a blank, in an array that free() frees. */
static bool *find_blanks(const MegaCharacters *text)
{
    bool *blanks = calloc(text->size + 1, sizeof *blanks);
    size_t character = 0;
    for (size_t i = 0; blanks && i < text->size; i++)
        if (((uint8_t)text->text[i] & 0xc0) != 0x80)
            blanks[character++] = text->text[i] == ' ';
    return blanks;
}

static int make_tokens(Tagger *t, MegaError *err)
{
    const MegaTokens *tokens = &t->input->tokens;
    t->entities = calloc(tokens->count + 1, sizeof *t->entities);
    if (!t->entities)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu tokens", tokens->count);
    for (size_t i = 0; i < tokens->count; i++) {
        const float *scores = t->scores + i * t->classes;
        if (tokens->data[i].sequence < 0)
            continue;
        const int label = best_label(scores, t->classes);
        t->entities[t->count++] = (Entity){i, i, label, scores[label]};
    }
    return 0;
}

/* Gives a word its label and score. */
static int score_word(const Tagger *t, Entity *word, MegaGrouping grouping, MegaError *err)
{
    const float *scores = t->scores + word->first * t->classes;
    float *means = NULL;
    for (size_t i = word->first + 1; i <= word->last && grouping == MEGA_GROUP_MAX; i++) {
        const float *other = t->scores + i * t->classes;
        if (other[best_label(other, t->classes)] > scores[best_label(scores, t->classes)])
            scores = other;
    }
    if (grouping == MEGA_GROUP_AVERAGE) {
        const size_t count = word->last - word->first + 1;
        means = calloc(t->classes, sizeof *means);
        if (!means)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu classes", t->classes);
        for (size_t i = 0; i < count; i++)
            for (size_t c = 0; c < t->classes; c++)
                means[c] += t->scores[(word->first + i) * t->classes + c];
        for (size_t c = 0; c < t->classes; c++)
            means[c] /= (float)count;
        scores = means;
    }
    word->label = best_label(scores, t->classes);
    word->score = scores[word->label];
    free(means);
    return 0;
}

/* Replaces the tokens by words. */
static int make_words(Tagger *t, MegaGrouping grouping, MegaError *err)
{
    const MegaToken *tokens = t->input->tokens.data;
    const int64_t unknown = mega_pipeline_number(t->pipeline, "special.unk", -1);
    bool *blanks = find_blanks(t->text);
    size_t words = 0;
    int code = blanks ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text");
    for (size_t i = 0; i < t->count && !code; i++) {
        const MegaToken *token = &tokens[t->entities[i].first];
        const bool continues = words > 0 && token->id != unknown && token->start > 0 &&
                               !blanks[token->start - 1] && !blanks[token->start];
        if (continues)
            t->entities[words - 1].last = t->entities[i].first;
        else
            t->entities[words++] = t->entities[i];
    }
    t->count = words;
    for (size_t i = 0; i < words && !code; i++)
        code = score_word(t, &t->entities[i], grouping, err);
    free(blanks);
    return code;
}

/* Returns the name of a label; one without a name is "LABEL_3". */
static const char *label_name(const Tagger *t, int label, char buffer[24])
{
    const char *name = mega_model_label(t->pipeline->model, label);
    if (name)
        return name;
    snprintf(buffer, 24, "LABEL_%d", label);
    return buffer;
}

/* Returns a label without "B-" or "I-". */
static const char *bare_label(const char *name)
{
    return strncmp(name, "B-", 2) == 0 || strncmp(name, "I-", 2) == 0 ? name + 2 : name;
}

static bool joins(const Tagger *t, const Entity *before, const Entity *entity)
{
    char buffers[2][24];
    const char *last = label_name(t, before->label, buffers[0]);
    const char *name = label_name(t, entity->label, buffers[1]);
    return strcmp(bare_label(last), bare_label(name)) == 0 && strncmp(name, "B-", 2) != 0;
}

/* Makes a tag of the entities first ... end - 1. */
static int make_tag(const Tagger *t, size_t first, size_t end, bool grouped, MegaTag *out,
                    MegaError *err)
{
    const Entity *begin = &t->entities[first], *last = &t->entities[end - 1];
    const MegaToken *tokens = t->input->tokens.data;
    const char *symbol =
        mega_vocab_symbol(mega_tokenizer_vocab(t->pipeline->target), tokens[begin->first].id);
    const bool unknown =
        tokens[begin->first].id == mega_pipeline_number(t->pipeline, "special.unk", -1);
    double sum = 0;
    char buffer[24];
    for (size_t i = first; i < end; i++)
        sum += (double)t->entities[i].score;
    *out = (MegaTag){.label = begin->label,
                     .score = (float)(sum / (double)(end - first)),
                     .index = begin->first,
                     .start = tokens[begin->first].start,
                     .end = tokens[last->last].end};
    const char *name = label_name(t, begin->label, buffer);
    const char *dash = grouped ? strchr(name, '-') : NULL;
    snprintf(out->name, sizeof out->name, "%s", dash ? dash + 1 : name);
    if (grouped)
        return mega_pipeline_text_of(t->pipeline, t->input->ids + begin->first,
                                     last->last - begin->first + 1, true, false, &out->word, err);
    if (unknown)
        return mega_text_slice(t->text, out->start, out->end, &out->word, err);
    MegaBuffer word = {0};
    mega_put_bytes(&word, symbol ? symbol : "", symbol ? strlen(symbol) : 0);
    return mega_text_take(&out->word, &word, err);
}

static int make_tags(const Tagger *t, const MegaTagOptions *options, MegaTags *out, MegaError *err)
{
    const bool grouped = options->grouping != MEGA_GROUP_NONE;
    int code = 0;
    out->items = calloc(t->count + 1, sizeof *out->items);
    if (!out->items)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu tags", t->count);
    for (size_t first = 0, end; first < t->count && !code; first = end) {
        end = first + 1;
        while (grouped && end < t->count && joins(t, &t->entities[end - 1], &t->entities[end]))
            end++;
        MegaTag *tag = &out->items[out->count];
        code = make_tag(t, first, end, grouped, tag, err);
        if (!code && !options->keep_outside && strcmp(tag->name, "O") == 0)
            mega_text_free(&tag->word);
        else
            out->count++;
    }
    return code;
}

int mega_pipeline_tag(MegaPipeline *p, const MegaRaw *text, const MegaTagOptions *options,
                      MegaTags *out, MegaError *err)
{
    static const MegaTagOptions defaults;
    const size_t longest = (size_t)mega_pipeline_number(p, "text.max_length", 0);
    MegaBuffer bytes = {0};
    MegaTokenInput input = {0};
    MegaCharacters characters = {0};
    Tagger t = {.pipeline = p,
                .text = &characters,
                .input = &input,
                .classes = (size_t)mega_model_class_count(p->model)};
    *out = (MegaTags){0};
    options = options ? options : &defaults;
    int code = mega_pipeline_need_task(p, MEGA_TASK_TAG, "tag words", err);
    if (!code && (options->grouping < MEGA_GROUP_NONE || options->grouping > MEGA_GROUP_MAX))
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "%d is no MegaGrouping", (int)options->grouping);
    if (!code)
        code = mega_pipeline_read_bytes(p, text, &bytes, err);
    if (!code)
        code = mega_pipeline_token_input(p, &bytes, NULL, longest, &input, err);
    if (!code) {
        characters = mega_characters_of(bytes.data, bytes.size);
        t.scores = calloc(input.tokens.count + 1, t.classes * sizeof *t.scores);
        if (!t.scores)
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tags of a text");
    }
    if (!code && input.tokens.count > 0)
        code =
            mega_session_label(p->session, &input.input, NULL, input.tokens.count, t.scores, err);
    for (size_t i = 0; i < input.tokens.count && !code; i++)
        mega_softmax(t.scores + i * t.classes, (int)t.classes, t.scores + i * t.classes);
    if (!code)
        code = make_tokens(&t, err);
    if (!code && options->grouping > MEGA_GROUP_SIMPLE)
        code = make_words(&t, options->grouping, err);
    if (!code)
        code = make_tags(&t, options, out, err);
    if (code)
        mega_tags_free(out);
    free(t.entities);
    free(t.scores);
    mega_token_input_free(&input);
    mega_characters_free(&characters);
    mega_buffer_free(&bytes);
    return code;
}
