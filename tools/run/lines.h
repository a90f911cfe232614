/*
 * lines.h - reads text files line by line: inputs of translate and score, and lists.
 *
 * text_input.h defines what a line is. Files are read in blocks, and a line is given out as soon as
 * its end has arrived. A program at the other end of a pipe may therefore wait for the answer to
 * one line before it writes the next.
 */
#ifndef MEGA_LINES_H
#define MEGA_LINES_H

#include <sys/types.h>

#include "formats/text/text_input.h"
#include "src/mega.h"
#include "tools/run/shard.h"
#include "tools/run/warnings.h"

typedef enum ArgumentKind {
    ARGUMENTS_ARE_FILES,
    ARGUMENTS_MAY_BE_TEXTS, /* text_argument.h decides what an argument is */
    ARGUMENTS_ARE_TEXTS,
} ArgumentKind;

/* An input that was read to count its lines and cannot be opened again, such as a pipe. */
typedef struct KeptInput {
    int fd; /* -1: there is none */
    off_t begin;
} KeptInput;

/* Reads the lines of several files, one file after the other; "-" is standard input. */
typedef struct LineReader {
    MegaTextRules rules;
    bool null; /* lines end only at a NUL */
    ArgumentKind arguments;
    char **paths; /* [count] */
    int count, next;
    int fd;         /* descriptor of the open file, or -1 */
    uint8_t *block; /* [filled] bytes of the file, of which [at] were given out */
    size_t at, filled;
    bool after_cr;    /* the last line ended in CR, so a LF that follows belongs to it */
    const char *name; /* the open file's name, for messages */
    size_t number;    /* number of the line in that file, from 1 */
    size_t taken;     /* number of lines that were taken from all files */
    /* These serve line_reader_shard: the inputs that had to be kept (NULL without a shard), the
     * range of lines to give out, and the error that ended the count. */
    KeptInput *kept; /* [count] */
    size_t first, end;
    bool counting;
    MegaError failure;
    char *text;       /* the line without its end, followed by a NUL; it may itself hold NULs */
    size_t size, capacity;
    MegaTextFlaw flaw; /* the first flaw of this file */
    /* If not NULL, called before a warning, so that what earlier lines have to say comes first. */
    void (*before_warning)(void *context);
    void *context;
} LineReader;

/* Starts to read. Without paths it reads standard input. rules->what names what the files should
 * hold: "lines of text". */
int line_reader_begin(LineReader *reader, char **paths, int count, const MegaTextRules *rules,
                      MegaError *err);
/* Gives out the lines of one shard only, to be called before the first line is read. It reads the
 * files once to count their lines; what cannot be opened again is kept in memory. An error on the
 * way there (a file is missing) ends the lines of all shards as it ends those of the files: every
 * shard gives out its part of the lines before, and then that error. */
int line_reader_shard(LineReader *reader, const Shard *shard, MegaError *err);
/* Returns 1 if *reader holds a line, 0 at the end, and an error below 0. A line longer than
 * rules.limit (0: MEGA_TEXT_MAX_SIZE bytes) is an error, too. Warns of the first flaw of a file
 * that it repairs. */
int line_reader_next(LineReader *reader, MegaError *err);
/* Returns whether another line is certain to come without waiting for whoever writes it: one that
 * was read already, or can be. Only that line's end makes this sure of a pipe. */
bool line_reader_ready(LineReader *reader);
void line_reader_end(LineReader *reader);
/* Returns how many lines the files have, for a progress bar, or 0 if a file cannot be read
 * twice. */
size_t count_lines(char **paths, int count, const MegaTextRules *rules);
/* Counts the lines that the reader will give out, for a progress bar; 0 if that is not known. */
size_t line_reader_total(const LineReader *reader);

/* Says on standard error which bytes of a text were not UTF-8, if there were any. */
void warn_of_flaw(const MegaTextFlaw *flaw, const char *name, const MegaTextRules *rules);

#endif
