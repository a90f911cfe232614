/*
 * scoring.h - log-probabilities of texts, for score and eval.
 */
#ifndef MEGA_SCORING_H
#define MEGA_SCORING_H

#include <jansson.h>

#include "formats/text/tokenizer.h"
#include "src/model/model.h"

/* A model that scores, and its way from text to ids. */
typedef struct Scorer {
    MegaModel *model;
    MegaSession *session;
    MegaCodec *source, *target; /* NULL without dictionaries; source only of a translator */
    MegaDecoder *decoder;
    bool ids, pre_tokenized;
} Scorer;

/* Sums over what was scored. */
typedef struct ScoreTotal {
    double logprob; /* natural logarithm */
    uint64_t tokens, characters, bytes;
} ScoreTotal;

typedef struct ScoreOptions {
    const char *model;
    MegaSessionOptions session;
    int chunk; /* as in MegaDecoderOptions */
    bool ids, pre_tokenized, verbose;
} ScoreOptions;

/* Free with scorer_close also after an error. */
int scorer_open(Scorer *scorer, const ScoreOptions *options, MegaError *err);
void scorer_close(Scorer *scorer);

/* How texts for it are read; what: "lines of text". */
MegaTextRules scorer_rules(const Scorer *scorer, const char *what);
/* A whole text of a file, or "-"; warns of what is not UTF-8 in it. */
int scorer_read(const Scorer *scorer, const char *path, MegaBuffer *text, MegaError *err);
/*
 * A language model: the text's symbols from </s> on, and </s> itself at the end when `eos`. A
 * translator: text is "source<TAB>target", and the target with its final </s> is scored. *targets
 * and *logprobs [*count] by malloc; progress is told how many tokens are done, and may be NULL.
 */
int score_text(Scorer *scorer, const char *text, size_t size, bool eos, int32_t **targets,
               float **logprobs, size_t *count, void (*progress)(void *context, size_t done),
               void *context, MegaError *err);
/* Adds to the sums; text is what count was made of. */
void score_add(const Scorer *scorer, ScoreTotal *total, const float *logprobs, size_t count,
               const char *text, size_t size);
/* Lines "nats per token  1.5", or those keys of a JSON object. */
void score_print(const Scorer *scorer, const ScoreTotal *total);
json_t *score_json(const Scorer *scorer, const ScoreTotal *total);

#endif
