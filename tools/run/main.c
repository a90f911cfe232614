/*
 * main.c - mega-run: finds the command and calls it.
 *
 * SIGPIPE gets its default action: a reader that closes our standard output early (head, less) ends
 * the program quietly, as it ends every filter.
 */
#include <cairo/cairo.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/descriptors.h"
#include "tools/common/signals.h"
#include "tools/common/suggest.h"
#include "tools/common/terminal.h"
#include "tools/common/version.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} Command;

static const Command commands[] = {
    {"answer", command_answer, "find the answer to a question in a text"},
    {"bench", command_bench, "measure how fast a model runs here, and how fast it could"},
    {"choose", command_choose, "choose the text that goes best with another"},
    {"classify", command_classify, "name what is in recordings, pictures and texts"},
    {"detokenize", command_detokenize, "turn tokens back into text"},
    {"embed", command_embed, "compute the vectors that a model makes of texts"},
    {"eval", command_eval, "measure a model's accuracy on a list of labelled files"},
    {"explain", command_explain, "draw what a model looked at in an input"},
    {"fill", command_fill, "fill the masks of a text"},
    {"forward", command_forward, "run arrays through a model, up to any stage"},
    {"generate", command_generate, "continue a text with a language model"},
    {"info", command_info, "say what a model is for, and what it cannot do"},
    {"inspect", command_inspect, "show what a model file holds"},
    {"models", command_models, "list the models that are found"},
    {"plot", command_plot, "draw what a model learned"},
    {"score", command_score, "compute how probable a model finds texts"},
#if MEGA_WITH_SERVER
    {"serve", command_serve, "answer requests over HTTP"},
#endif
    {"tag", command_tag, "label the words of a text"},
    {"tokenize", command_tokenize, "show the tokens that a model reads of a text"},
    {"translate", command_translate, "translate texts line by line"},
    {"verify", command_verify, "check all checksums of a model file"},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fputs("Usage: mega-run COMMAND [OPTION]... [INPUT]...\n\nRuns MEGA sequence models.\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n'mega-run FILE' classifies a recording or a picture. 'mega-run help COMMAND' explains "
          "a\n"
          "command. 'mega-run --version' shows the version.\n",
          out);
}

static const Command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    static const char *const options[] = {"--help", "--version"};
    const char *near = NULL, *what = name[0] == '-' ? "option" : "command";
    size_t least = SUGGEST_MAX_EDITS + 1;
    for (size_t i = 0; i < COMMAND_COUNT + 2; i++) {
        const char *known = i < COMMAND_COUNT ? commands[i].name : options[i - COMMAND_COUNT];
        size_t edits = edit_distance(name, known);
        if (edits < least) {
            near = known;
            least = edits;
        }
    }
    report("there is no %s '%s'%s%s%s", what, name, near ? "; did you mean '" : "",
           near ? near : "", near ? "'?" : "");
    fputs("Try 'mega-run --help'.\n", stderr);
    return 2;
}

static int help_on(const char *name)
{
    char option[] = "--help", *argv[] = {(char *)name, option, NULL};
    const Command *command = find_command(name);
    return command ? command->run(2, argv) : unknown_command(name);
}

/* ---- Without a command ---------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Returns whether a path is a recording, a picture, a folder of them, or standard input. */
static bool can_be_classified(const char *path)
{
    if (strcmp(path, "-") == 0)
        return true;
    if (access(path, F_OK) != 0)
        return false;
    const MegaContentKind kind = content_of_path(path);
    return kind == MEGA_CONTENT_SOUND || kind == MEGA_CONTENT_PICTURE || is_folder(path);
}

/* Returns the path as a word of a command that can be copied into a shell, or "FILE". A stranger
 * may have named the file so that a shell would run a part of its name. */
static const char *shell_word(const char *path)
{
    for (const char *at = path; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("._/-+,=@:%", *at))
            return "FILE";
    return path;
}

/* Suggests commands for a file that exists but cannot be classified. */
static int suggest_for_file(const char *path)
{
    MegaError err = {0};
    if (content_of_path(path) == MEGA_CONTENT_TEXT) {
        report("%s is a text. What should be done with it?", path);
        fprintf(stderr,
                "  mega-run translate %1$s\n"
                "  mega-run generate %1$s              continues it\n"
                "  mega-run score %1$s                 how probable it is, line by line\n"
                "  mega-run explain %1$s -o FILE.png   what the translator looks at\n"
                "  mega-run classify -m MODEL %1$s\n",
                shell_word(path));
        return 2;
    }
    fail_unknown_content(path, &err);
    report("%s", err.text);
    const size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".mega") == 0)
        fprintf(stderr, "'mega-run inspect %s' shows what it holds.\n", shell_word(path));
    return 1;
}

/* Returns the command that stands after options, such as those of "mega-run -t 1 classify", or
 * NULL. A file or a model may have the name of a command. */
static const char *late_command(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *before = argv[i - 1];
        const bool is_model = strcmp(before, "-m") == 0 || strcmp(before, "--model") == 0;
        if (find_command(argv[i]) && !is_model && access(argv[i], F_OK) != 0)
            return argv[i];
    }
    return NULL;
}

/* Classifies the inputs of "mega-run yes.wav"; options may stand before them. */
static int run_on_inputs(int argc, char **argv)
{
    const char *first = argv[1];
    const bool has_option = first[0] == '-' && first[1];
    const char *command = has_option ? late_command(argc, argv) : NULL;
    if (command)
        return usage_error(command, "options follow the command: 'mega-run %s %s ...'", command,
                           first);
    for (int i = 1; i < (has_option ? argc : 2); i++)
        if (can_be_classified(argv[i]))
            return command_classify(argc, argv);
    if (access(first, F_OK) == 0)
        return suggest_for_file(first);
    if (!has_option && (strchr(first, '/') || strchr(first, '.'))) {
        report("cannot open %s: %s", first, strerror(errno));
        return 1;
    }
    return unknown_command(first);
}

int main(int argc, char **argv)
{
    secure_descriptors();
    signal(SIGPIPE, SIG_DFL);
    catch_signals("mega-run");
    guard_terminal();
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2)) {
        print_help(stdout);
        return finish_output(0);
    }
    if (strcmp(name, "help") == 0)
        return help_on(argv[2]);
    if (strcmp(name, "--version") == 0) {
        char cairo[64];
        snprintf(cairo, sizeof cairo, "cairo-%s", cairo_version_string());
        print_version("mega-run", cairo);
        return finish_output(0);
    }
    const Command *command = find_command(name);
    return command ? command->run(argc - 1, argv + 1) : run_on_inputs(argc, argv);
}
