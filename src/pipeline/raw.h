/*
 * raw.h - names the inputs that a program gives, reads their text, and warns of what is wrong in
 * them, for all pipelines.
 */
#ifndef MEGA_RAW_H
#define MEGA_RAW_H

#include "formats/text/text_input.h"
#include "src/mega.h"

/* The function for warnings, from MegaPipelineOptions; nobody is warned if it is NULL. */
typedef struct MegaWarning {
    void (*warn)(void *context, const char *sentence);
    void *context;
} MegaWarning;

void mega_warn(const MegaWarning *warning, const char *sentence);
/* Warns if most of the symbols of a text are unknown to the model; name begins the sentence. */
void mega_warn_of_unknown(const MegaWarning *warning, const int32_t *ids, size_t count, int32_t unk,
                          const char *name);

/* Refuses an input of no known kind, and one without the data that it should have. Nothing else may
 * be done with an input that was not checked. */
int mega_raw_check(const MegaRaw *raw, MegaError *err);
/* Returns the name of a checked input for messages. */
const char *mega_raw_name(const MegaRaw *raw);
/* Checks an input, and appends the text of a MEGA_RAW_TEXT unchanged, or reads a MEGA_RAW_PATH
 * according to `rules`. Free *out also after an error. */
int mega_raw_read_text(const MegaRaw *raw, const MegaTextRules *rules, const MegaWarning *warning,
                       MegaBuffer *out, MegaError *err);
/* Does the same byte for byte, as the tokenizers of the Hugging Face hub want it. A path may hold
 * at most `limit` bytes. */
int mega_raw_read_bytes(const MegaRaw *raw, size_t limit, MegaBuffer *out, MegaError *err);

#endif
