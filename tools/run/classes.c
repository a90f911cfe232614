/*
 * classes.c - see classes.h.
 */
#define _GNU_SOURCE /* strchrnul */
#include "tools/run/classes.h"

#include <stdio.h>
#include <string.h>

#include "src/model/model.h"
#include "tools/common/command_line.h"

const char *class_name(const MegaModel *model, int index, char buffer[16])
{
    const char *label = mega_model_label(model, index);
    if (label)
        return label;
    snprintf(buffer, 16, "%d", index);
    return buffer;
}

int find_class(const MegaModel *model, const char *text, size_t size)
{
    const int classes = mega_model_class_count(model);
    char word[16] = "";
    int number;
    for (int i = 0; i < classes; i++) {
        const char *label = mega_model_label(model, i);
        if (label && strlen(label) == size && memcmp(label, text, size) == 0)
            return i;
    }
    if (size < sizeof word)
        memcpy(word, text, size);
    return parse_int(word, 0, classes - 1, &number) ? number : -1;
}

int next_class(const MegaModel *model, const char *path, const char **names, int *label,
               MegaError *err)
{
    const char *at = *names, *end = strchrnul(at, ',');
    *names = *end ? end + 1 : end;
    *label = find_class(model, at, (size_t)(end - at));
    return *label >= 0
               ? 0
               : mega_fail(err, MEGA_ERR_ARGUMENT,
                           "'%.*s' is neither a class of %s nor the number of one; "
                           "'mega-run inspect --json' lists them",
                           (int)(end - at < 60 ? end - at : 60), at, path);
}

bool is_background(const char *label)
{
    const size_t length = label ? strlen(label) : 0;
    return length > 2 && label[0] == '_' && label[length - 1] == '_';
}

bool is_hub_classifier(const MegaModel *model)
{
    return mega_model_task(model) == MEGA_TASK_CLASSIFY &&
           mega_meta_find(mega_model_meta(model), "text.tokenizer");
}
