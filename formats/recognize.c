/*
 * recognize.c - names of file kinds by their first bytes; see recognize.h.
 */
#include "recognize.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "mega_file.h"

#define DAMAGED "fetch it again without conversion of text (binary mode)"

typedef struct Kind {
    const char *magic;
    uint16_t length, offset;
    bool sure; /* even where the file looks like text, which may begin with "GIF8" or "ID3"; as is
                  every magic that is not ASCII */
    MegaFileKind kind;
} Kind;

#define KIND_IF(sure, magic, offset, role, what, advice)                                           \
    {                                                                                              \
        magic, sizeof magic - 1, offset, sure,                                                     \
        {                                                                                          \
            MEGA_ROLE_##role, what, advice                                                         \
        }                                                                                          \
    }
#define KIND(magic, offset, role, what, advice) KIND_IF(false, magic, offset, role, what, advice)
#define SURE(magic, offset, role, what, advice) KIND_IF(true, magic, offset, role, what, advice)

/* The first that fits is named, so longer magics come before their prefixes. */
static const Kind kinds[] = {
    KIND(MEGA_MAGIC, 0, MODEL, "a .mega model", NULL),
    KIND("\x89MEGA", 0, OTHER, "a .mega file damaged by a text-mode transfer", DAMAGED),
    KIND("\tMEGA", 0, OTHER, "a .mega file damaged by a text-mode transfer", DAMAGED),
    KIND("\xc2\x89MEGA", 0, OTHER, "a .mega file damaged by a text-mode transfer", DAMAGED),
    KIND("\xef\xbf\xbdMEGA", 0, OTHER, "a .mega file damaged by a text-mode transfer", DAMAGED),
    KIND("PK\3\4", 0, CHECKPOINT, "a PyTorch checkpoint or another zip archive", NULL),
    KIND("PK\5\6", 0, OTHER, "an empty zip archive", "fetch the file again"),
    KIND("\x80\2\x8a\nl\xfc\x9c", 0, CHECKPOINT, "a PyTorch checkpoint of the legacy format", NULL),
    KIND("\x80\2", 0, CHECKPOINT, "a Python pickle, perhaps a PyTorch checkpoint", NULL),
    KIND("\x80\3", 0, CHECKPOINT, "a Python pickle, perhaps a PyTorch checkpoint", NULL),
    KIND("\x80\4", 0, CHECKPOINT, "a Python pickle, perhaps a PyTorch checkpoint", NULL),
    KIND("\x80\5", 0, CHECKPOINT, "a Python pickle, perhaps a PyTorch checkpoint", NULL),
    KIND("{\"", 8, CHECKPOINT, "a safetensors file", NULL),
    KIND("GGUF", 0, OTHER, "a GGUF file", "its models are not MEGA models"),
    SURE("version https://git-lfs", 0, OTHER, "a git-LFS pointer, not the file it stands for",
         "run 'git lfs pull'"),
    KIND("\x1f\x8b", 0, OTHER, "compressed by gzip", "unpack it first: gunzip"),
    KIND("BZh", 0, OTHER, "compressed by bzip2", "unpack it first: bunzip2"),
    KIND("\xfd"
         "7zXZ",
         0, OTHER, "compressed by xz", "unpack it first: unxz"),
    KIND("\x28\xb5\x2f\xfd", 0, OTHER, "compressed by zstd", "unpack it first: unzstd"),
    KIND("ustar", 257, OTHER, "a tar archive",
         "unpack it first (tar xf), or if a PyTorch of 2016 wrote it, load and save it again with "
         "a newer one"),
    KIND("WAVE", 8, INPUT, "a wav recording", NULL),
    KIND("RIFF", 0, INPUT, "a RIFF file", NULL),
    KIND("fLaC", 0, INPUT, "a FLAC recording", NULL),
    KIND("OggS", 0, INPUT, "an Ogg recording", NULL),
    KIND("ID3", 0, INPUT, "an MP3 recording", NULL),
    KIND("\x89PNG", 0, INPUT, "a PNG image", NULL),
    KIND("\xff\xd8\xff", 0, INPUT, "a JPEG image", NULL),
    KIND("GIF8", 0, INPUT, "a GIF image", NULL),
    KIND("\x93NUMPY", 0, INPUT, "a NumPy array", NULL),
    KIND("\x89HDF", 0, OTHER, "an HDF5 file", NULL),
    SURE("%PDF", 0, OTHER, "a PDF document", NULL),
    KIND("\x7f"
         "ELF",
         0, OTHER, "a program", NULL),
};

/* A protocol buffer of a model: ir_version (field 1, small), then a string of field 2 or a graph.
 */
static bool looks_like_onnx(const uint8_t *data, size_t size)
{
    return size > 4 && data[0] == 0x08 && data[1] > 0 && data[1] < 32 &&
           (data[2] == 0x12 || data[2] == 0x1a || data[2] == 0x3a);
}

static bool looks_like_html(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size && at < 64 &&
           (data[at] <= ' ' || data[at] >= 0x80)) /* blanks, byte order mark */
        at++;
    return size - at >= 5 && (strncasecmp((const char *)data + at, "<html", 5) == 0 ||
                              strncasecmp((const char *)data + at, "<!doc", 5) == 0 ||
                              strncasecmp((const char *)data + at, "<?xml", 5) == 0);
}

static bool looks_like_text(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && i < 512; i++)
        if (data[i] < ' ' && !(data[i] >= '\t' && data[i] <= '\r'))
            return false;
    return size > 0;
}

static bool fits(const Kind *kind, bool text, const uint8_t *data, size_t size)
{
    const bool sure = kind->sure || !text || (uint8_t)kind->magic[0] >= 0x80;
    return sure && size >= (size_t)kind->offset + kind->length &&
           memcmp(data + kind->offset, kind->magic, kind->length) == 0;
}

MegaFileKind mega_recognize(const void *bytes, size_t size)
{
    const uint8_t *data = bytes;
    const bool text = looks_like_text(data, size);
    if (size == 5 && memcmp(data, MEGA_MAGIC, 5) == 0) /* its first line */
        return kinds[0].kind;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (fits(&kinds[i], text, data, size))
            return kinds[i].kind;
    if (looks_like_html(data, size))
        return (MegaFileKind){MEGA_ROLE_TEXT, "a web page",
                              "fetch the file itself, not the page about it"};
    if (looks_like_onnx(data, size))
        return (MegaFileKind){MEGA_ROLE_OTHER, "an ONNX model",
                              "use the PyTorch checkpoint it was exported from, with mega-convert"};
    if (text)
        return (MegaFileKind){MEGA_ROLE_TEXT, "a text file", NULL};
    return (MegaFileKind){.role = MEGA_ROLE_UNKNOWN};
}
