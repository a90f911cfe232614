/*
 * job.c - see job.h.
 */
#define _GNU_SOURCE /* memfd_create */
#include "tools/run/serve/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

Job *job_new(const Operation *operation, Models *models, MegaBuffer *body)
{
    Job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->operation = operation;
    job->models = models;
    job->body = *body;
    *body = (MegaBuffer){0};
    job->file = -1;
    job->users = 1;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&job->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return job;
}

void job_free(Job *job)
{
    if (job->operation->release)
        job->operation->release(job);
    free(job->input);
    models_release(job->models, job->model);
    request_free(&job->request);
    mega_buffer_free(&job->body);
    mega_buffer_free(&job->text);
    mega_buffer_free(&job->pieces);
    json_decref(job->answer);
    if (job->file >= 0)
        close(job->file);
    pthread_cond_destroy(&job->changed);
    free(job);
}

/* ---- The file of a request ------------------------------------------------------------------ */

int job_open_file(Job *job, MegaError *err)
{
    const uint8_t *data = job->request.file;
    size_t left = job->request.file_size;
    job->file = memfd_create("request", MFD_CLOEXEC);
    if (job->file < 0)
        return mega_fail(err, MEGA_ERR_IO, "no file in memory can be made: %s", strerror(errno));
    while (left > 0) {
        const ssize_t written = write(job->file, data, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the file: %s", strerror(errno));
        data += written;
        left -= (size_t)written;
    }
    snprintf(job->path, sizeof job->path, "/proc/self/fd/%d", job->file);
    return 0;
}

const char *job_file_name(const Job *job)
{
    const char *name = json_string_value(job->request.file_name);
    return name ? name : "the file";
}

void hide_path(MegaError *err, const char *path, const char *name)
{
    const MegaError inner = *err;
    const char *at = *path ? strstr(inner.text, path) : NULL;
    if (at)
        mega_fail(err, inner.code, "%.*s%.100s%s", (int)(at - inner.text), inner.text, name,
                  at + strlen(path));
}

/* ---- Its model ------------------------------------------------------------------------------ */

int job_choose_model(Job *job, const char *name, ModelFits fits, const void *context,
                     const char *purpose, MegaError *err)
{
    job->model = models_take(job->models, name, fits, context, purpose, err);
    if (job->model)
        return 0;
    if (err->code == MEGA_ERR_ARGUMENT)
        job->status = 404;
    else
        job->status = 400;
    return err->code;
}
