/*
 * text_input.h - reads texts from outside: input lines, dictionaries, merges, labels, lists, JSON.
 *
 * Editors and systems write the same text in many ways. All readers of texts use this module, so
 * that all of them accept the same ones:
 *   - a UTF-8 byte order mark at the beginning is not part of the text,
 *   - lines end in LF, CR LF or CR,
 *   - UTF-16 and UTF-32, with or without a byte order mark, are errors that say so,
 *   - a message about NUL, or bytes that are not UTF-8, names the first one by line and byte.
 */
#ifndef MEGA_TEXT_INPUT_H
#define MEGA_TEXT_INPUT_H

#include "formats/base/bytes.h"
#include "src/mega.h"

/* How a reader treats NUL and bytes that are not UTF-8. */
typedef enum MegaTextBytes {
    MEGA_TEXT_ONLY_UTF8, /* they are errors */
    MEGA_TEXT_REPAIRED,  /* the caller reads them as U+FFFD; the first one is remembered */
    MEGA_TEXT_PATHS,     /* NUL is an error; a path may have any other byte */
    MEGA_TEXT_BINARY,    /* they are part of the text, for a vocabulary of bytes */
} MegaTextBytes;

typedef struct MegaTextRules {
    const char *what; /* the kind of text that is expected, for messages: "a dictionary" */
    MegaTextBytes bytes;
    bool marks_inside; /* any line may begin with a byte order mark, as in texts that were
                          concatenated */
    bool keep_cr;      /* CR is part of the text instead of a line end */
    bool is_text;      /* is known to be one, whatever file its beginning looks like */
    uint64_t limit;    /* in bytes, for mega_text_read */
} MegaTextRules;

/* A byte that is NUL or not UTF-8; line 0 means that there is none. */
typedef struct MegaTextFlaw {
    size_t line, byte; /* both count from 1; the byte is counted within its line */
    uint8_t value;
} MegaTextFlaw;

/* Lowers the limit of a text to a size that `left` bytes of memory have room for; UINT64_MAX means
 * no limit. Every byte may become a token id, which stays in memory with the text. */
void mega_text_limit(MegaTextRules *rules, uint64_t left);

/* Reads all of a path, or of standard input for "-". The result has no byte order mark, and LF is
 * its only line end. flaw may be NULL. Free *out also after an error. */
int mega_text_read(MegaBuffer *out, const char *path, const MegaTextRules *rules,
                   MegaTextFlaw *flaw, MegaError *err);
/* Does the same for bytes that are in memory already; messages call them `name`. */
int mega_text_clean(MegaBuffer *text, const char *name, const MegaTextRules *rules,
                    MegaTextFlaw *flaw, MegaError *err);

/* ---- For readers that see one line at a time ------------------------------------------------ */

/* Checks the first bytes of a text: UTF-16, UTF-32 and data that is not text (sniff.h) are
 * errors. */
int mega_text_check_head(const void *head, size_t size, const char *name,
                         const MegaTextRules *rules, MegaError *err);
/* Checks a line, given with its byte order mark and without its end. *flaw keeps the first flaw. */
int mega_text_check_line(const void *line, size_t size, size_t number, const char *name,
                         const MegaTextRules *rules, MegaTextFlaw *flaw, MegaError *err);
/* Returns how many bytes at the beginning of a line are byte order marks that are not part of
 * it. */
size_t mega_text_mark(const void *line, size_t size, size_t number, const MegaTextRules *rules);
/* Makes a sentence about a flaw in err, for errors and for warnings. */
int mega_text_fail_flaw(const MegaTextFlaw *flaw, const char *name, const MegaTextRules *rules,
                        MegaError *err);

#endif
