/*
 * golden.c - see golden.h.
 */
#include "tests/unit/golden.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/tiers.h"

bool golden_read(const Golden *golden, const char *name, MegaNpy *out)
{
    char path[1024];
    MegaError err = {0};
    snprintf(path, sizeof path, "%s/%s.npy", golden->folder, name);
    if (access(path, R_OK) != 0)
        return false;
    if (mega_npy_read(out, path, &err))
        fail_msg("%s", err.text);
    return true;
}

void golden_compare(Golden *golden, const char *name, const float *got, size_t got_rows,
                    size_t columns, const MegaNpy *positions)
{
    MegaNpy expected;
    if (!golden_read(golden, name, &expected))
        return;
    assert_int_equal(expected.type, MEGA_NPY_F32);
    size_t rows = (size_t)(expected.elements / columns);
    assert_int_equal(rows * columns, expected.elements);
    double scale = 1;
    for (size_t i = 0; i < expected.elements; i++)
        scale = fmax(scale, fabs((double)expected.f32[i]));
    for (size_t r = 0; r < rows; r++) {
        size_t at = positions ? (size_t)positions->i32[r] : r;
        if (at >= got_rows && positions)
            continue; /* the original padded this position */
        assert_true(at < got_rows);
        for (size_t c = 0; c < columns; c++) {
            double difference = fabs((double)got[at * columns + c] - expected.f32[r * columns + c]);
            if (!(difference <= GOLDEN_TOLERANCE * scale))
                fail_msg("%s: %s[%zu][%zu] is %.9g, expected %.9g (largest %.3g)", golden->name,
                         name, at, c, (double)got[at * columns + c],
                         (double)expected.f32[r * columns + c], scale);
        }
    }
    golden->compared++;
    mega_npy_free(&expected);
}

static void convert(const Golden *golden, const char *out)
{
    const char *build = getenv("MEGA_BUILD");
    const char *checkpoint = json_string_value(json_object_get(golden->meta, "checkpoint"));
    const bool folder = json_object_get(golden->meta, "weights") != NULL;
    char command[4096], dict[1024];
    snprintf(dict, sizeof dict, "%s/dict.txt", golden->folder);
    int n = snprintf(command, sizeof command,
                     "%s/mega-convert -q --force -o '%s' --config '%s/meta.json' '%s/%s'",
                     build ? build : "build", out, golden->folder, golden->folder,
                     folder ? "" : checkpoint);
    if (folder)
        snprintf(command, sizeof command, "%s/mega-convert -q --force -o '%s' '%s'",
                 build ? build : "build", out, golden->folder);
    else if (access(dict, R_OK) == 0)
        snprintf(command + n, sizeof command - (size_t)n, " --dict '%s'", dict);
    int status = system(command);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: conversion failed: %s", golden->name, command);
}

static void check_case(Golden *golden, const MegaKernels *kernels, GoldenCheck check)
{
    char model[] = "/tmp/mega-golden-XXXXXX";
    MegaError err = {0};
    MegaSession *session = NULL;
    int fd = mkstemp(model);
    assert_true(fd >= 0);
    close(fd);
    convert(golden, model);
    if (mega_model_open(&golden->model, model, &err) ||
        mega_session_new(&session, golden->model, NULL, &err))
        fail_msg("%s: %s", golden->name, err.text);
    unlink(model);
    if (kernels)
        mega_session_force(session, kernels, MEGA_EMA_AUTO);
    check(golden, session);
    assert_true(golden->compared > 0);
    printf("  %-34s %zu arrays equal\n", golden->name, golden->compared);
    mega_session_free(session);
    mega_model_free(golden->model);
}

/* The fixtures of other architectures have a name in meta.json; those of MEGA have none. The kinds
 * of S4 have names of their own; those of others are written "architecture/kind". */
static bool is_of_kind(const json_t *meta, const char *const *kinds)
{
    const char *architecture = json_string_value(json_object_get(meta, "architecture"));
    const char *kind = json_string_value(json_object_get(meta, "kind"));
    char full[64];
    if (kind && architecture && strcmp(architecture, "mega") != 0 &&
        strcmp(architecture, "s4") != 0) {
        snprintf(full, sizeof full, "%s/%s", architecture, kind);
        kind = full;
    }
    for (; kind && *kinds; kinds++)
        if (strcmp(kind, *kinds) == 0)
            return true;
    return false;
}

/* Runs `check` on every case of these kinds in a folder. kernels may be NULL for those of this
 * machine. */
static void check_folder(const char *root, const char *const *kinds, const MegaKernels *kernels,
                         GoldenCheck check)
{
    struct dirent **entries;
    int count = scandir(root, &entries, NULL, alphasort), checked = 0;
    for (int i = 0; i < count; i++) {
        Golden golden = {.name = entries[i]->d_name, .in_tiles = kernels == emulated_amx()};
        char path[1024];
        snprintf(golden.folder, sizeof golden.folder, "%s/%s", root, entries[i]->d_name);
        snprintf(path, sizeof path, "%s/meta.json", golden.folder);
        golden.meta = json_load_file(path, 0, NULL);
        if (golden.meta && is_of_kind(golden.meta, kinds)) {
            check_case(&golden, kernels, check);
            checked++;
        }
        json_decref(golden.meta);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    assert_true(checked > 0);
}

void golden_committed(const char *const *kinds, GoldenCheck check)
{
    check_folder("tests/fixtures", kinds, NULL, check);
}

void golden_committed_in_tiles(const char *const *kinds, GoldenCheck check)
{
    check_folder("tests/fixtures", kinds, emulated_amx(), check);
}

void golden_all(const char *const *kinds, GoldenCheck check)
{
    const char *root = getenv("MEGA_FIXTURES") ? getenv("MEGA_FIXTURES") : "../shared/fixtures";
    if (access(root, R_OK) != 0)
        skip();
    check_folder(root, kinds, NULL, check);
}
