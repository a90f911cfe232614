/*
 * content.c - see content.h.
 */
#include "src/pipeline/content.h"

#include <string.h>
#include <strings.h>

#include "formats/base/input_stream.h"
#include "formats/base/sniff.h"

#define SEARCH_SIZE 65536 /* bytes in which sound is searched for that begins after other data */

static const struct {
    const char *extension;
    MegaContentKind kind;
} extensions[] = {
    {".wav", MEGA_CONTENT_SOUND},   {".flac", MEGA_CONTENT_SOUND},   {".ogg", MEGA_CONTENT_SOUND},
    {".opus", MEGA_CONTENT_SOUND},  {".mp3", MEGA_CONTENT_SOUND},    {".aif", MEGA_CONTENT_SOUND},
    {".aiff", MEGA_CONTENT_SOUND},  {".au", MEGA_CONTENT_SOUND},     {".png", MEGA_CONTENT_PICTURE},
    {".jpg", MEGA_CONTENT_PICTURE}, {".jpeg", MEGA_CONTENT_PICTURE}, {".bmp", MEGA_CONTENT_PICTURE},
    {".txt", MEGA_CONTENT_TEXT},    {".text", MEGA_CONTENT_TEXT},
};

/* Recognises the content of a file by its first bytes, also files that are not inputs: models,
 * checkpoints, archives, ... Some of these look like text. */
static MegaContent find_content(const uint8_t *bytes, size_t size, const MegaMedia *media)
{
    const bool is_text = mega_sniff_utf8(bytes, size < MEGA_SNIFF_SIZE ? size : MEGA_SNIFF_SIZE);
    const MegaFileKind kind = mega_sniff(bytes, size);
    MegaContent content = {.name = kind.what, .advice = kind.advice};
    switch (kind.role) {
    case MEGA_ROLE_MODEL: content.advice = "give it with -m"; break;
    case MEGA_ROLE_CHECKPOINT: content.advice = "mega-convert makes a model of it"; break;
    case MEGA_ROLE_SOUND: content.kind = MEGA_CONTENT_SOUND; break;
    case MEGA_ROLE_PICTURE:
        content.kind = MEGA_CONTENT_PICTURE;
        content.unread = kind.advice != NULL;
        break;
    case MEGA_ROLE_UNREAD: content.unread = true; break;
    case MEGA_ROLE_INPUT: /* an array, which mega-run forward takes */
    case MEGA_ROLE_OTHER: break;
    case MEGA_ROLE_TEXT:
    case MEGA_ROLE_UNKNOWN:
        if ((!is_text || !mega_sniff_utf8(bytes, size)) && media &&
            media->is_sound && media->is_sound(bytes, size))
            return (MegaContent){.kind = MEGA_CONTENT_SOUND,
                                 .name = "a recording"}; /* it begins after other data */
        if (!is_text)
            return (MegaContent){.kind = MEGA_CONTENT_UNKNOWN};
        content.kind = MEGA_CONTENT_TEXT;
        if (!content.advice)
            content.name = "text";
    }
    return content;
}

/* Recognises by content, which also works for pipes. */
MegaContent mega_content_read(const char *path, const MegaMedia *media)
{
    uint8_t bytes[SEARCH_SIZE];
    size_t size = 0;
    if (mega_source_peek(path, bytes, sizeof bytes, &size, NULL) || !size)
        return (MegaContent){.kind = MEGA_CONTENT_UNKNOWN};
    return find_content(bytes, size, media);
}

MegaContentKind mega_content_of_path(const char *path, const MegaMedia *media)
{
    const MegaContent content = mega_content_read(path, media);
    if (content.name)
        return content.kind;
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
        const size_t size = strlen(extensions[i].extension);
        if (length > size && strcasecmp(path + length - size, extensions[i].extension) == 0)
            return extensions[i].kind;
    }
    return MEGA_CONTENT_UNKNOWN;
}

int mega_content_fail_unread(const MegaContent *content, const char *name, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_INPUT, "%s is %s, a format that is not read; %s", name,
                     content->name, content->advice);
}
