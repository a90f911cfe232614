/*
 * text_input.h - texts from outside: input lines, dictionaries, merges, labels, lists, JSON.
 *
 * Editors and systems write the same text in many ways. All readers of texts go through here, so
 * that all of them take the same ones:
 *   - a UTF-8 byte order mark at the beginning is no part of a text,
 *   - lines end in LF, CR LF or CR,
 *   - UTF-16 and UTF-32, with or without a mark, are errors that say so,
 *   - of NUL and of bytes that are no UTF-8 the first one is named, with its line and byte.
 */
#ifndef MEGA_TEXT_INPUT_H
#define MEGA_TEXT_INPUT_H

#include "formats/base/bytes.h"
#include "src/mega.h"

/* What becomes of NUL and of bytes that are no UTF-8. */
typedef enum MegaTextBytes {
    MEGA_TEXT_ONLY_UTF8, /* they are errors */
    MEGA_TEXT_REPAIRED,  /* the caller reads them as U+FFFD; the first one is remembered */
    MEGA_TEXT_PATHS,     /* NUL is an error; a path may have any other byte */
    MEGA_TEXT_BINARY,    /* they belong to the text: a vocabulary of bytes */
} MegaTextBytes;

typedef struct MegaTextRules {
    const char *what; /* "a dictionary": what is expected, for messages */
    MegaTextBytes bytes;
    bool marks_inside; /* a mark begins any line: of texts that were put together */
    bool keep_cr;      /* CR is a part of the text, not a line end */
    uint64_t limit;    /* bytes, of mega_text_read */
} MegaTextRules;

/* A byte that is NUL or no UTF-8; line 0: there is none. */
typedef struct MegaTextFlaw {
    size_t line, byte; /* from 1, the byte within its line */
    uint8_t value;
} MegaTextFlaw;

/* Lowers the limit of a text to what `left` bytes of memory have room for, UINT64_MAX being any:
 * every byte may become a token id, and stays until then. */
void mega_text_limit(MegaTextRules *rules, uint64_t left);

/* Reads all of a path ("-": standard input): without the mark, and with LF as the only line end.
 * flaw may be NULL. Free *out also after an error. */
int mega_text_read(MegaBuffer *out, const char *path, const MegaTextRules *rules,
                   MegaTextFlaw *flaw, MegaError *err);
/* Does the same for bytes that are in memory already; messages call them `name`. */
int mega_text_clean(MegaBuffer *text, const char *name, const MegaTextRules *rules,
                    MegaTextFlaw *flaw, MegaError *err);

/* ---- For readers that see one line at a time ------------------------------------------------ */

/* Looks at the first bytes of a text: UTF-16, UTF-32, or not a text at all (sniff.h). */
int mega_text_check_head(const void *head, size_t size, const char *name,
                         const MegaTextRules *rules, MegaError *err);
/* Looks at a line, with its mark and without its end. *flaw stays the first one. */
int mega_text_check_line(const void *line, size_t size, size_t number, const char *name,
                         const MegaTextRules *rules, MegaTextFlaw *flaw, MegaError *err);
/* How many bytes at the beginning of a line are byte order marks that belong not to it. */
size_t mega_text_mark(const void *line, size_t size, size_t number, const MegaTextRules *rules);
/* Fills err with a sentence on a flaw, for errors and for warnings. */
int mega_text_fail_flaw(const MegaTextFlaw *flaw, const char *name, const MegaTextRules *rules,
                        MegaError *err);

#endif
