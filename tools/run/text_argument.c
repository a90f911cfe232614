/*
 * text_argument.c - see text_argument.h.
 */
#define _GNU_SOURCE /* memfd_create */
#include "tools/run/text_argument.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/input_stream.h"
#include "tools/run/options.h"

void tell_of_terminal(const char *path)
{
    static bool told;
    if (told || strcmp(path, "-") != 0 || !isatty(STDIN_FILENO))
        return;
    told = true;
    report("reading from the terminal; Ctrl-D on a line of its own ends the input");
}

#define LEAST_ENDING 2 /* endings have this many letters and digits: ".gz" to ".jsonl" */
#define MOST_ENDING 5

/* Returns true for "notes.txt", but neither for "Yes." nor for "3.14". */
static bool has_ending(const char *word)
{
    const char *dot = strrchr(word, '.');
    if (!dot || dot == word || !isalpha((unsigned char)dot[1]))
        return false;
    const size_t length = strlen(dot + 1);
    for (const char *at = dot + 1; *at; at++)
        if (!isalnum((unsigned char)*at))
            return false;
    return length >= LEAST_ENDING && length <= MOST_ENDING;
}

static bool looks_like_path(const char *argument)
{
    static const char *const begins[] = {"/", "./", "../", "~/"};
    if (!strpbrk(argument, " \t\r\n"))
        return strchr(argument, '/') || has_ending(argument);
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (strncmp(argument, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

int is_text_argument(const char *argument, bool *is_text, MegaError *err)
{
    struct stat info;
    *is_text = false;
    if (strcmp(argument, "-") == 0)
        return 0;
    if (lstat(argument, &info) == 0) { /* lstat also finds a link that leads nowhere */
        if (stat(argument, &info) == 0 && S_ISDIR(info.st_mode))
            return mega_fail(err, MEGA_ERR_INPUT,
                             "%s is a folder; expected a text or a file with one (--text %s is the "
                             "word itself)",
                             argument, argument);
        return 0;
    }
    if (errno == EACCES || looks_like_path(argument))
        return mega_fail(err, MEGA_ERR_IO,
                         "cannot open %s: %s (--text takes it as a text)", argument,
                         strerror(errno));
    *is_text = true;
    return 0;
}

int open_text(int *fd, const char *text, MegaError *err)
{
    if (*text == '\0')
        text = "\n"; /* an empty text is one empty line */
    size_t left = strlen(text);
    *fd = memfd_create("text", MFD_CLOEXEC);
    while (*fd >= 0 && left > 0) {
        const ssize_t written = write(*fd, text, left);
        if (written <= 0)
            break;
        text += written;
        left -= (size_t)written;
    }
    if (*fd >= 0 && left == 0 && lseek(*fd, 0, SEEK_SET) == 0)
        return 0;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text: %s", strerror(errno));
}

int read_text_argument(MegaBuffer *out, const char *argument, ArgumentKind kind,
                       const MegaTextRules *rules, const char **name, MegaError *err)
{
    MegaTextFlaw flaw = {0};
    bool is_text = kind == ARGUMENTS_ARE_TEXTS;
    int code = kind == ARGUMENTS_MAY_BE_TEXTS ? is_text_argument(argument, &is_text, err) : 0;
    *name = is_text ? NULL : mega_source_name(argument);
    if (code)
        return code;
    if (is_text) {
        mega_put_bytes(out, argument, strlen(argument));
        return out->failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text") : 0;
    }
    tell_of_terminal(argument);
    code = mega_text_read(out, argument, rules, &flaw, err);
    if (!code)
        warn_of_flaw(&flaw, *name, rules);
    return code;
}

void warn_once(void *context, const char *sentence)
{
    static bool warned;
    if (!warned)
        report_warning(context, sentence);
    warned = true;
}
