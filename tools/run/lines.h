/*
 * lines.h - text files line by line, for translate and score, and lists of all kinds.
 *
 * Lines are what formats/text/text_input.h takes for lines of a text. They are read in blocks, and
 * a line is given out as soon as its end has arrived, so that a program at the other end of a pipe
 * may wait for the answer to a line before it writes the next.
 */
#ifndef MEGA_LINES_H
#define MEGA_LINES_H

#include "formats/text/text_input.h"
#include "src/mega.h"

typedef enum ArgumentKind {
    ARGUMENTS_ARE_FILES,
    ARGUMENTS_MAY_BE_TEXTS, /* text_argument.h decides */
    ARGUMENTS_ARE_TEXTS,
} ArgumentKind;

/* Lines of several files, one after the other; "-" is standard input. */
typedef struct LineReader {
    MegaTextRules rules;
    bool null;    /* lines end in NUL and nothing else */
    ArgumentKind arguments;
    char **paths; /* [count] */
    int count, next;
    int fd;         /* of the open file, or -1 */
    uint8_t *block; /* [filled] bytes read from it, of which [at] were given out */
    size_t at, filled;
    bool after_cr;    /* the last line ended in CR: a LF that follows belongs to it */
    const char *name; /* of it, for messages */
    size_t number;    /* of the line in it, from 1 */
    char *text;       /* the line without its end and a NUL behind it; may hold NULs */
    size_t size, capacity;
    MegaTextFlaw flaw; /* the first one of this file */
} LineReader;

/* No paths: standard input. rules->what is what is expected: "lines of text". */
int line_reader_begin(LineReader *reader, char **paths, int count, const MegaTextRules *rules,
                      MegaError *err);
/* 1: *reader holds a line; 0: no more; < 0: an error, which a line longer than rules.limit (0:
 * MEGA_TEXT_MAX_SIZE bytes) is, too. Warns of the first flaw of a file that is to be repaired. */
int line_reader_next(LineReader *reader, MegaError *err);
void line_reader_end(LineReader *reader);
/* How many lines the files have, for a progress bar; 0 when one of them cannot be read twice. */
size_t count_lines(char **paths, int count, const MegaTextRules *rules);

/* "mega-run: warning: SENTENCE" on standard error; as MegaPipelineOptions.warn. */
void report_warning(void *context, const char *sentence);
/* Tells on standard error what is not UTF-8 in a text that was read, if anything. */
void warn_of_flaw(const MegaTextFlaw *flaw, const char *name, const MegaTextRules *rules);

#endif
