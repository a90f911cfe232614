/*
 * scoring.h - log-probabilities of texts, for score and eval.
 */
#ifndef MEGA_SCORING_H
#define MEGA_SCORING_H

#include <jansson.h>

#include "formats/text/text_input.h"
#include "src/mega.h"

/* A model that scores. */
typedef struct Scorer {
    MegaModel *model;
    MegaPipeline *pipeline;
    bool ids;
} Scorer;

/* Sums over what was scored. */
typedef struct ScoreTotal {
    double logprob; /* natural logarithm */
    uint64_t tokens, characters, bytes;
} ScoreTotal;

typedef struct ScoreOptions {
    const char *model;
    MegaPipelineOptions pipeline;
    bool verbose;
} ScoreOptions;

/* Free with scorer_close also after an error. */
int scorer_open(Scorer *scorer, const ScoreOptions *options, MegaError *err);
void scorer_close(Scorer *scorer);

/* How texts for it are read; what: "lines of text". */
MegaTextRules scorer_rules(const Scorer *scorer, const char *what);
/* A whole text of a file, or "-"; warns of what is not UTF-8 in it. */
int scorer_read(const Scorer *scorer, const char *path, MegaBuffer *text, MegaError *err);
void score_add(ScoreTotal *total, const MegaScore *score);
/* Lines "nats per token  1.5", or those keys of a JSON object. */
void score_print(const Scorer *scorer, const ScoreTotal *total);
json_t *score_json(const Scorer *scorer, const ScoreTotal *total);

#endif
