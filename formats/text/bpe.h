/*
 * bpe.h - byte pair encoding as subword-nmt applies it: words are cut into pieces, all but the last
 * of a word marked by "@@" at their end.
 *
 * The codes file has a merge "left right" a line, best first, after an optional "#version: 0.2";
 * 0.1 writes the end of a word as a symbol of its own, 0.2 as part of the last character. A word of
 * n characters takes n log n time. An object is immutable.
 */
#ifndef MEGA_BPE_H
#define MEGA_BPE_H

#include "formats/base/bytes.h"
#include "formats/mega/meta.h"

#define MEGA_BPE_MAX_FILE (1u << 27) /* bytes */
#define MEGA_BPE_MAX_WORD (1u << 20) /* bytes; merging takes a hundred times as many */
#define MEGA_BPE_SEPARATOR "@@"

typedef struct MegaBpe MegaBpe;

/* What belongs to a segmentation besides the merges; zero is none. */
typedef struct MegaBpeOptions {
    const char *vocabulary;        /* file "piece count": pieces that are not in it are cut on */
    long threshold;                /* ... nor those with a smaller count */
    const char *const *glossaries; /* [glossary_count] regular expressions that are never cut */
    size_t glossary_count;         /* glossary.h has the limits */
} MegaBpeOptions;

/* Puts codes and options into metadata: "bpe.codes", "bpe.version", "bpe.vocabulary",
 * "bpe.glossaries". */
int mega_bpe_import(MegaMeta *meta, const char *codes, const MegaBpeOptions *options,
                    MegaError *err);
/* *out is NULL, without an error, when the metadata has no codes. */
int mega_bpe_from_meta(MegaBpe **out, const MegaMeta *meta, MegaError *err);
void mega_bpe_free(MegaBpe *bpe);

/* Appends the pieces of all words of a text, with a blank between them. text is well-formed UTF-8.
 * What a glossary matches is a piece of its own, unless a later one cuts it again. */
int mega_bpe_apply(const MegaBpe *bpe, const char *text, size_t size, MegaBuffer *out,
                   MegaError *err);
/* Appends text without its "@@ ", and without a "@@" at its end. */
void mega_bpe_join(const char *text, size_t size, MegaBuffer *out);

#endif
