/*
 * results.h - makes the JSON values of results: those that commands print with --json and that
 * mega-run serve answers. man/mega.schema.json lists their keys.
 */
#ifndef MEGA_RESULTS_H
#define MEGA_RESULTS_H

#include <stdio.h>

#include "formats/text/tokenizer.h"
#include "src/mega.h"
#include "tools/common/json.h"
#include "tools/run/events.h"

/* Makes the result of an input or, with has_span, of a window of it: the `top` best classes.
 * `input` and `name` are what the input and the model are called. */
json_t *classification_json(const MegaModel *model, const char *input, const char *name,
                            const MegaClassification *found, int top, bool has_span);
/* Makes an event in a recording. */
json_t *event_json(const MegaModel *model, const char *input, const char *name, const Event *event);
/* Returns the label of a class of a model from the hub; one without a name is "LABEL_3". */
const char *hub_label(const MegaModel *model, int index, char buffer[24]);
/* Makes the list of labels and scores that such a classifier gives; top 0 is all of them. */
json_t *labels_json(const MegaModel *model, const MegaClassification *found, int top);

/* Returns the position in the source to which a token of a translation attends most. */
size_t aligned_position(const MegaHypothesis *hypothesis, size_t token, size_t source_length);
/* Returns a text as it was read, with U+FFFD in place of bytes that are not UTF-8. */
json_t *source_json(const void *text, size_t size);
/* Makes the nbest best translations of a text. */
json_t *translation_json(const MegaPipeline *pipeline, const void *source, size_t size,
                         const MegaTranslation *result, int nbest, bool alignments);

/* Returns why a text ended: "end", "stop" or "length". */
const char *finish_name(MegaFinish finish);

/* Makes the tokens for the masks of a text: a list for one mask, or a list of these. */
json_t *fillings_json(const MegaFillings *fillings);
/* Makes the tags of a text; with `bytes` their places count bytes. */
json_t *tags_json(const MegaTags *tags, const MegaTagOptions *options, const MegaRaw *text,
                  bool bytes);
/* Makes the answer that was found in a text, or with top > 1 the list of them. */
json_t *answers_json(const MegaAnswers *answers, int top, const MegaRaw *text, bool bytes);
/* Writes the numbers of the choices to order [count], the best first. */
void rank_choices(const float *scores, int count, int *order);
json_t *choices_json(const MegaRaw *choices, const float *scores, const int *order, int count);

/* Converts the places of tokens from characters to bytes. */
void count_token_bytes(MegaTokens *tokens, const MegaTexts *texts);

#endif
