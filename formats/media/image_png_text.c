/*
 * image_png_text.c - finds the orientation of a PNG file in its chunks; see image_file.h.
 *
 * Exif data have a chunk of their own, eXIf, since 2017. Programs before that, ImageMagick among
 * them, wrote them as hexadecimal digits into a text chunk "Raw profile type exif". An XMP packet
 * is a text chunk, too. Texts may be compressed.
 */
#include <string.h>
#include <zlib.h>

#include "formats/base/bytes.h"
#include "formats/media/image_file.h"

#define MOST_KEYWORD 79       /* bytes */
#define MOST_TEXT (1u << 20)  /* bytes of all compressed texts; what follows them is ignored */
#define PROFILE_LINES 3       /* lines before the digits: nothing, the name, the size */

/* Appends a text that zlib compressed. Damaged ones end early. A file may have thousands of texts,
 * each a thousand times as long as its chunk, so the bytes of all of them are counted. */
static void inflate_text(MegaImageFile *file, const uint8_t *data, size_t size, MegaBuffer *out)
{
    uint8_t block[4096];
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    int result = inflateInit(&stream);
    if (result != Z_OK)
        return;
    while (result == Z_OK && file->inflated < MOST_TEXT) {
        stream.next_out = block;
        stream.avail_out = sizeof block;
        result = inflate(&stream, Z_NO_FLUSH);
        mega_put_bytes(out, block, sizeof block - stream.avail_out);
        file->inflated += sizeof block - stream.avail_out;
    }
    inflateEnd(&stream);
}

/* Takes the orientation from Exif data, which may begin as they do in JPEG files. */
static void note_exif(MegaImageFile *file, const uint8_t *data, size_t size)
{
    const size_t prefix = size >= 6 && memcmp(data, "Exif\0\0", 6) == 0 ? 6 : 0;
    mega_image_note_exif(file, data + prefix, size - prefix);
}

static int digit_value(uint8_t c)
{
    const char *const digits = "0123456789abcdef", *found = memchr(digits, c | 0x20, 16);
    return found ? (int)(found - digits) : -1;
}

/* Reads "\nexif\n      38\n45786966...", with line ends between the digits. */
static void note_profile(MegaImageFile *file, const MegaBuffer *text)
{
    MegaBuffer exif = {0};
    size_t at = 0;
    int high = -1;
    for (int line = 0; line < PROFILE_LINES && at < text->size; at++)
        line += text->data[at] == '\n';
    for (; at < text->size; at++) {
        const int digit = digit_value(text->data[at]);
        if (digit >= 0 && high >= 0)
            mega_put_u8(&exif, (uint8_t)(high * 16 + digit));
        if (digit >= 0)
            high = high >= 0 ? -1 : digit;
    }
    if (!exif.failed)
        note_exif(file, exif.data, exif.size);
    mega_buffer_free(&exif);
}

/* Skips the language and the translated keyword of an iTXt chunk. Returns the bytes before its
 * text. */
static size_t skip_languages(const uint8_t *data, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < 2 && at < size; i++) {
        const uint8_t *end = memchr(data + at, 0, size - at);
        at = end ? (size_t)(end - data) + 1 : size;
    }
    return at;
}

void mega_image_note_png(MegaImageFile *file, const char type[4], const uint8_t *data, size_t size)
{
    if (memcmp(type, "eXIf", 4) == 0) {
        note_exif(file, data, size);
        return;
    }
    const bool is_international = memcmp(type, "iTXt", 4) == 0;
    const bool is_compressed = memcmp(type, "zTXt", 4) == 0;
    const uint8_t *end = memchr(data, 0, size < MOST_KEYWORD + 1 ? size : MOST_KEYWORD + 1);
    if ((!is_international && !is_compressed && memcmp(type, "tEXt", 4) != 0) || !end)
        return;
    const bool is_profile = strcmp((const char *)data, "Raw profile type exif") == 0 ||
                            strcmp((const char *)data, "Raw profile type APP1") == 0;
    if (!is_profile && strcmp((const char *)data, "XML:com.adobe.xmp") != 0)
        return;
    /* after the keyword: whether an international text is compressed, and how; all are by zlib */
    size_t at = (size_t)(end - data) + 1;
    const bool inflates = is_compressed || (is_international && at < size && data[at] == 1);
    at += is_international ? 2 : is_compressed ? 1 : 0;
    if (at > size)
        return;
    at += is_international ? skip_languages(data + at, size - at) : 0;
    MegaBuffer text = {0};
    if (inflates)
        inflate_text(file, data + at, size - at, &text);
    else
        mega_put_bytes(&text, data + at, size - at);
    if (!text.failed && is_profile)
        note_profile(file, &text);
    else if (!text.failed)
        mega_image_note_xmp(file, text.data, text.size);
    mega_buffer_free(&text);
}
