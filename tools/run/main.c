/*
 * main.c - mega-run: finds the command and hands over.
 *
 * A reader that closes our standard output early (head, less) ends us by SIGPIPE, quietly, as it
 * does every filter.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <cairo/cairo.h>
#include <cblas.h>
#include <fftw3.h>
#include <jansson.h>
#include <pcre2.h>
#include <signal.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "kernels.h"
#include "mapping.h"
#include "options.h"

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} Command;

static const Command commands[] = {
    {"bench", command_bench, "how fast a model runs here, and how fast it could"},
    {"classify", command_classify, "name what is in recordings, pictures and texts"},
    {"eval", command_eval, "accuracy of a model on a list of labelled files"},
    {"explain", command_explain, "draw what a model looked at in an input"},
    {"forward", command_forward, "raw arrays in, raw arrays out"},
    {"generate", command_generate, "go on with a text, by a language model"},
    {"inspect", command_inspect, "show what a model file holds"},
    {"plot", command_plot, "draw what a model learned"},
    {"score", command_score, "how probable a model finds texts"},
    {"translate", command_translate, "text in, text out"},
    {"verify", command_verify, "check all checksums of a model file"},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fputs("Usage: mega-run COMMAND [OPTION]... [INPUT]...\n\nRuns MEGA sequence models.\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n'mega-run help COMMAND' explains one. 'mega-run --version' shows the version.\n", out);
}

static void print_version(void)
{
    char pcre2[32] = "";
    pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    printf("mega-run %s (kernels: %s)\n", mega_version(), mega_kernels()->name);
    printf("compiler %s\n", __VERSION__);
    printf("%s\n%s\n%s\nzlib-%s\njansson-%s\nPCRE2-%s\ncairo-%s\n", sf_version_string(),
           fftwf_version, openblas_get_config(), zlibVersion(), jansson_version_str(), pcre2,
           cairo_version_string());
    puts("MIT licence; FFTW's is the GPL, which this program is therefore distributed under");
}

static const Command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Edits (insert, delete, replace) from one short word to another. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[32], n = strlen(b);
    if (n >= 32)
        return 32;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            size_t other = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            diagonal = row[j];
            row[j] = replace < other ? replace : other;
        }
    }
    return row[n];
}

static int unknown_command(const char *name)
{
    const Command *near = NULL;
    size_t least = 3;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (edit_distance(name, commands[i].name) < least) {
            near = &commands[i];
            least = edit_distance(name, near->name);
        }
    fprintf(stderr, "mega-run: there is no command '%s'", name);
    if (near)
        fprintf(stderr, "; did you mean '%s'?", near->name);
    fputs("\nTry 'mega-run --help'.\n", stderr);
    return 2;
}

static int help_on(const char *name)
{
    char option[] = "--help", *argv[] = {(char *)name, option, NULL};
    const Command *command = find_command(name);
    return command ? command->run(2, argv) : unknown_command(name);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_DFL);
    catch_lost_mapping("mega-run", NULL);
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
        print_version();
        return finish_output(0);
    }
    const Command *command = find_command(name);
    return command ? command->run(argc - 1, argv + 1) : unknown_command(name);
}
