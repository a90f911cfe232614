/*
 * results.c - see results.h.
 */
#include "tools/run/results.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "src/base/characters.h"
#include "tools/run/options.h"

/* ---- Classes -------------------------------------------------------------------------------- */

static json_t *class_json(const MegaModel *model, int index, double probability)
{
    char number[16];
    return json_pack("{s:o,s:i,s:f}", "label", json_text(class_name(model, index, number)), "index",
                     index, "probability", probability);
}

/* Makes the members that all results of an input begin with. */
static json_t *input_json(const char *input, const char *name)
{
    json_t *object = json_object();
    json_object_set_new(object, "input", json_text(input));
    json_object_set_new(object, "model", json_text(name));
    return object;
}

static void set_span(json_t *object, double start, double end)
{
    json_object_set_new(object, "start", json_real(start));
    json_object_set_new(object, "end", json_real(end));
}

json_t *classification_json(const MegaModel *model, const char *input, const char *name,
                            const MegaClassification *found, int top, bool has_span)
{
    json_t *object = input_json(input, name), *list = json_array();
    if (has_span)
        set_span(object, found->start, found->end);
    for (int i = 0; i < top && i < found->count; i++) {
        const int index = found->order[i];
        json_array_append_new(list, class_json(model, index, (double)found->probabilities[index]));
    }
    json_object_update(object, json_array_get(list, 0));
    json_object_set_new(object, "top", list);
    return object;
}

json_t *event_json(const MegaModel *model, const char *input, const char *name, const Event *event)
{
    json_t *object = input_json(input, name);
    json_t *found = class_json(model, event->label, event->probability);
    set_span(object, event->start, event->end);
    json_object_update(object, found);
    json_decref(found);
    return object;
}

const char *hub_label(const MegaModel *model, int index, char buffer[24])
{
    const char *label = mega_model_label(model, index);
    snprintf(buffer, 24, "LABEL_%d", index);
    return label ? label : buffer;
}

json_t *labels_json(const MegaModel *model, const MegaClassification *found, int top)
{
    json_t *list = json_array();
    char buffer[24];
    for (int i = 0; i < found->count && (top == 0 || i < top); i++) {
        const int index = found->order[i];
        json_array_append_new(list, json_pack("{s:o,s:f}", "label",
                                              json_text(hub_label(model, index, buffer)), "score",
                                              (double)found->probabilities[index]));
    }
    return list;
}

/* ---- Translations --------------------------------------------------------------------------- */

size_t aligned_position(const MegaHypothesis *hypothesis, size_t token, size_t source_length)
{
    const float *row = hypothesis->attention + token * source_length;
    size_t best = 0;
    for (size_t j = 1; j < source_length; j++)
        if (row[j] > row[best])
            best = j;
    return best;
}

/* Returns whether the model has a dictionary for that side. */
static bool has_symbols(const MegaPipeline *pipeline, MegaSide side)
{
    return mega_pipeline_symbol(pipeline, side, 0) != NULL;
}

static json_t *symbols_json(const MegaPipeline *pipeline, MegaSide side, const int32_t *ids,
                            size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const char *symbol = mega_pipeline_symbol(pipeline, side, ids[i]);
        json_array_append_new(list, json_text(symbol ? symbol : ""));
    }
    return list;
}

static json_t *hypothesis_json(const MegaPipeline *pipeline, const MegaHypothesis *hypothesis,
                               size_t source_length, bool alignments)
{
    const bool has_text = has_symbols(pipeline, MEGA_SIDE_OUTPUT);
    json_t *object = json_object(), *ids = json_array(), *scores = json_array();
    for (size_t i = 0; i < hypothesis->length; i++) {
        json_array_append_new(ids, json_integer(hypothesis->tokens[i]));
        json_array_append_new(scores, json_number((double)hypothesis->scores[i]));
    }
    if (has_text)
        json_object_set_new(object, "text", json_bytes(hypothesis->text, hypothesis->text_size));
    json_object_set_new(object, "ids", ids);
    json_object_set_new(object, "score", json_number(hypothesis->score));
    json_object_set_new(object, "token_scores", scores);
    if (alignments) {
        json_t *alignment = json_array();
        for (size_t i = 0; i < hypothesis->length; i++)
            json_array_append_new(alignment, json_integer((json_int_t)aligned_position(
                                                 hypothesis, i, source_length)));
        json_object_set_new(object, "alignment", alignment);
        if (has_text)
            json_object_set_new(
                object, "symbols",
                symbols_json(pipeline, MEGA_SIDE_OUTPUT, hypothesis->tokens, hypothesis->length));
    }
    return object;
}

json_t *source_json(const void *source, size_t size)
{
    MegaBuffer text = {0};
    mega_utf8_repair(source, size, &text);
    json_t *json = text.failed ? NULL : json_bytes(text.data, text.size);
    mega_buffer_free(&text);
    return json;
}

json_t *translation_json(const MegaPipeline *pipeline, const void *source, size_t size,
                         const MegaTranslation *result, int nbest, bool alignments)
{
    json_t *list = json_array();
    for (int rank = 0; rank < nbest && rank < result->count; rank++)
        json_array_append_new(list, hypothesis_json(pipeline, &result->hypotheses[rank],
                                                    result->source_length, alignments));
    json_t *object =
        json_pack("{s:o,s:o}", "source", source_json(source, size), "hypotheses", list);
    if (alignments && has_symbols(pipeline, MEGA_SIDE_INPUT) && result->source_length > 0)
        json_object_set_new(
            object, "source_symbols",
            symbols_json(pipeline, MEGA_SIDE_INPUT, result->source, result->source_length));
    return object;
}

const char *finish_name(MegaFinish finish)
{
    static const char *const names[] = {[MEGA_FINISH_END] = "end",
                                        [MEGA_FINISH_STOP] = "stop",
                                        [MEGA_FINISH_LENGTH] = "length",
                                        [MEGA_FINISH_REFUSED] = "stop"};
    return names[finish];
}

/* ---- Masks, tags, answers and choices ------------------------------------------------------- */

static json_t *mask_json(const MegaFilling *items, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:f,s:i,s:o,s:o}", "score", (double)items[i].score, "token",
                            (int)items[i].token, "token_str",
                            json_bytes(items[i].text.data, items[i].text.size), "sequence",
                            json_bytes(items[i].sequence.data, items[i].sequence.size)));
    return list;
}

json_t *fillings_json(const MegaFillings *fillings)
{
    if (fillings->masks == 1)
        return mask_json(fillings->items, fillings->count);
    json_t *list = json_array();
    for (int m = 0; m < fillings->masks; m++)
        json_array_append_new(list,
                              mask_json(fillings->items + m * fillings->count, fillings->count));
    return list;
}

/* Makes the place of a character; `characters` are NULL if places count characters. */
static json_t *place_json(const MegaCharacters *characters, uint32_t place)
{
    return json_integer(
        (json_int_t)(characters ? mega_characters_byte(characters, place) : place));
}

json_t *tags_json(const MegaTags *tags, const MegaTagOptions *options, const MegaRaw *text,
                  bool bytes)
{
    const bool grouped = options->grouping != MEGA_GROUP_NONE;
    MegaCharacters characters = mega_characters_of(text->data, bytes ? text->size : 0);
    const MegaCharacters *places = bytes ? &characters : NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < tags->count; i++) {
        const MegaTag *tag = &tags->items[i];
        json_t *object = json_pack("{s:o,s:f}", grouped ? "entity_group" : "entity",
                                   json_text(tag->name), "score", (double)tag->score);
        if (!grouped)
            json_object_set_new(object, "index", json_integer((json_int_t)tag->index));
        json_object_set_new(object, "word", json_bytes(tag->word.data, tag->word.size));
        json_object_set_new(object, "start", place_json(places, tag->start));
        json_object_set_new(object, "end", place_json(places, tag->end));
        json_array_append_new(list, object);
    }
    mega_characters_free(&characters);
    return list;
}

json_t *answers_json(const MegaAnswers *answers, int top, const MegaRaw *text, bool bytes)
{
    MegaCharacters characters = mega_characters_of(text->data, bytes ? text->size : 0);
    const MegaCharacters *places = bytes ? &characters : NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < answers->count; i++) {
        const MegaAnswer *answer = &answers->items[i];
        json_array_append_new(list, json_pack("{s:f,s:o,s:o,s:o}", "score", (double)answer->score,
                                              "start", place_json(places, answer->start),
                                              "end", place_json(places, answer->end), "answer",
                                              json_bytes(answer->text.data, answer->text.size)));
    }
    mega_characters_free(&characters);
    if (top != 1)
        return list;
    json_t *only = json_incref(json_array_get(list, 0));
    json_decref(list);
    return only;
}

void rank_choices(const float *scores, int count, int *order)
{
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at > 0 && scores[i] > scores[order[at - 1]]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

json_t *choices_json(const MegaRaw *choices, const float *scores, const int *order, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        const MegaRaw *choice = &choices[order[i]];
        json_array_append_new(list, json_pack("{s:i,s:f,s:o}", "index", order[i], "score",
                                              (double)scores[order[i]], "choice",
                                              json_bytes(choice->data, choice->size)));
    }
    return list;
}

/* ---- Tokens --------------------------------------------------------------------------------- */

void count_token_bytes(MegaTokens *tokens, const MegaTexts *texts)
{
    MegaCharacters characters[2] = {mega_characters_of(texts->first, texts->first_size),
                                    mega_characters_of(texts->second, texts->second_size)};
    for (size_t i = 0; i < tokens->count; i++) {
        MegaToken *token = &tokens->data[i];
        if (token->sequence < 0)
            continue;
        const MegaCharacters *text = &characters[token->sequence];
        token->start = (uint32_t)mega_characters_byte(text, token->start);
        token->end = (uint32_t)mega_characters_byte(text, token->end);
    }
    mega_characters_free(&characters[0]);
    mega_characters_free(&characters[1]);
}
