/*
 * tokens.h - one text or a pair of texts as a model with a head for text reads them: token ids and
 * types with their places (formats/text/tokens.h). Private to the pipelines that fill, tag, answer,
 * choose, classify and embed.
 */
#ifndef MEGA_PIPELINE_TOKENS_H
#define MEGA_PIPELINE_TOKENS_H

#include "src/base/characters.h"
#include "src/pipeline/pipeline.h"

/* A window of a text as an input of the session. */
typedef struct MegaTokenInput {
    MegaTokens tokens;    /* with their places and words */
    int32_t *ids, *types; /* [tokens.count] */
    MegaInput input;      /* the input of the session, which points to ids and types */
} MegaTokenInput;

/* Makes an input of window number `index` of encoded texts. Free *out also after an error. */
int mega_token_input_make(MegaTokenInput *out, const MegaTokenizer *tokenizer,
                          const MegaTokenized *tokenized, size_t index, MegaError *err);
void mega_token_input_free(MegaTokenInput *input);

/* Encodes a text, or a pair if `second` is not NULL, as one input. Texts must be UTF-8. An empty
 * second text is a sequence of its own. Free *out also after an error. */
int mega_pipeline_token_input(const MegaPipeline *pipeline, const MegaBuffer *first,
                              const MegaBuffer *second, size_t max_length, MegaTokenInput *out,
                              MegaError *err);
/* Makes the ids of one text with the special ones, as such a model reads it. */
int mega_pipeline_hub_ids(const MegaPipeline *pipeline, const MegaRaw *text, MegaIds *out,
                          MegaError *err);
/* Reads a raw input byte for byte, since the places of tokens count from its beginning. */
int mega_pipeline_read_bytes(const MegaPipeline *pipeline, const MegaRaw *raw, MegaBuffer *out,
                             MegaError *err);
/* Returns the tokenizer, or NULL with an error that the model takes token ids only. */
const MegaTokenizer *mega_pipeline_need_tokenizer(const MegaPipeline *pipeline, MegaError *err);
/* Returns a whole number of the metadata, such as "special.mask", or the fallback. */
int64_t mega_pipeline_number(const MegaPipeline *pipeline, const char *key, int64_t fallback);
/* Makes the text of ids, with or without special tokens and the clean-up of the model. */
int mega_pipeline_text_of(const MegaPipeline *pipeline, const int32_t *ids, size_t count,
                          bool keep_special, bool clean_up, MegaText *out, MegaError *err);
/* Copies the code points start ... end - 1 of a text. */
int mega_text_slice(const MegaCharacters *text, uint32_t start, uint32_t end, MegaText *out,
                    MegaError *err);

#endif
