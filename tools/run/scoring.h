/*
 * scoring.h - computes log-probabilities of texts, for score and eval.
 */
#ifndef MEGA_SCORING_H
#define MEGA_SCORING_H

#include <jansson.h>

#include "formats/text/text_input.h"
#include "src/mega.h"

/* A model that computes log-probabilities. */
typedef struct Scorer {
    MegaModel *model;
    MegaPipeline *pipeline;
    bool ids;
} Scorer;

/* Sums over all texts that were scored. */
typedef struct ScoreTotal {
    double logprob; /* natural logarithm */
    uint64_t tokens, characters, bytes;
} ScoreTotal;

typedef struct ScoreOptions {
    const char *model;
    MegaPipelineOptions pipeline;
    bool verbose;
} ScoreOptions;

/* Opens the model. scorer_close must be called also after an error. */
int scorer_open(Scorer *scorer, const ScoreOptions *options, MegaError *err);
void scorer_close(Scorer *scorer);

/* Returns the rules for reading texts; `what` names them in messages: "lines of text". */
MegaTextRules scorer_rules(const Scorer *scorer, const char *what);
/* Reads the whole text of a file, or of standard input for "-". Warns of bytes that are not
 * UTF-8. */
int scorer_read(const Scorer *scorer, const char *path, MegaBuffer *text, MegaError *err);
void score_add(ScoreTotal *total, const MegaScore *score);
/* Print the averages as lines such as "nats per token  1.5", or return them as a JSON object with
 * these names as keys. */
void score_print(const Scorer *scorer, const ScoreTotal *total);
json_t *score_json(const Scorer *scorer, const ScoreTotal *total);

#endif
