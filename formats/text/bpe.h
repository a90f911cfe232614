/*
 * bpe.h - byte pair encoding as subword-nmt applies it. Words are cut into pieces, and every piece
 * except the last one of a word ends with "@@".
 *
 * The codes file has one merge "left right" per line, best first, after an optional line
 * "#version: 0.2". Version 0.1 writes the end of a word as a symbol of its own, 0.2 as part of the
 * last character. A word of n characters takes n log n time. An object is immutable.
 */
#ifndef MEGA_BPE_H
#define MEGA_BPE_H

#include "formats/base/bytes.h"
#include "formats/mega/meta.h"

#define MEGA_BPE_MAX_FILE (1u << 27) /* bytes */
#define MEGA_BPE_MAX_WORD (1u << 20) /* bytes; merging needs a hundred times as many */
#define MEGA_BPE_SEPARATOR "@@"

typedef struct MegaBpe MegaBpe;

/* The options of a segmentation besides its merges; zeros mean none. */
typedef struct MegaBpeOptions {
    const char *vocabulary;        /* a file of "piece count": pieces that it does not list are
                                      split again */
    long threshold;                /* and so are pieces with a smaller count */
    const char *const *glossaries; /* [glossary_count] regular expressions that are never cut */
    size_t glossary_count;         /* glossary.h has the limits */
} MegaBpeOptions;

/* Puts codes and options into the metadata "bpe.codes", "bpe.version", "bpe.vocabulary" and
 * "bpe.glossaries". */
int mega_bpe_import(MegaMeta *meta, const char *codes, const MegaBpeOptions *options,
                    MegaError *err);
/* Makes the object. *out is NULL, without an error, if the metadata has no codes. */
int mega_bpe_from_meta(MegaBpe **out, const MegaMeta *meta, MegaError *err);
void mega_bpe_free(MegaBpe *bpe);

/* Appends the pieces of all words of a text, separated by blanks. text is well-formed UTF-8. A
 * match of a glossary becomes one piece, unless a later glossary splits it again. */
int mega_bpe_apply(const MegaBpe *bpe, const char *text, size_t size, MegaBuffer *out,
                   MegaError *err);
/* Appends text without any "@@ " and without "@@" at its end. */
void mega_bpe_join(const char *text, size_t size, MegaBuffer *out);

#endif
