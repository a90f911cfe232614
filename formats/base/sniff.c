/*
 * sniff.c - recognises kinds of files by their first bytes; see sniff.h.
 */
#define _GNU_SOURCE /* memmem */
#include "formats/base/sniff.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "formats/base/bytes.h"

#define CONVERT_SOUND "convert it first: ffmpeg -i FILE sound.wav"
#define CONVERT_PICTURE "convert it first: ffmpeg -i FILE -frames:v 1 picture.png"
#define CONVERT_HEIF "convert it first: heif-convert FILE picture.png"
#define CONVERT_JXL "convert it first: djxl FILE picture.png"
#define RENDER_NOTES "it holds notes, not sound; play them into a file first: timidity -Ow FILE"
#define DAMAGED "fetch it again without conversion of text (binary mode)"

typedef struct Kind {
    const char *magic;
    uint16_t length, offset;
    bool sure; /* true if the magic counts even in a file that looks like text, which "GIF8" or
                  "ID3" may begin; a magic that is not ASCII always counts */
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

/* The first match counts, so longer magics come before their prefixes. */
static const Kind kinds[] = {
    KIND(MEGA_MAGIC, 0, MODEL, "a .mega model", NULL),
    KIND("\x89MEGA", 0, OTHER, "a .mega file damaged by a text-mode transfer", DAMAGED),
    KIND("\tMEGA", 0, OTHER, "a .mega file damaged by a text-mode transfer", DAMAGED),
    KIND("\xc2\x89MEGA", 0, OTHER, "a .mega file damaged by a text-mode transfer", DAMAGED),
    KIND("\xef\xbf\xbdMEGA", 0, OTHER, "a .mega file damaged by a text-mode transfer", DAMAGED),
    KIND("PK\3\4", 0, CHECKPOINT, "a PyTorch checkpoint or another zip archive", NULL),
    KIND("PK\5\6", 0, OTHER, "an empty zip archive", "fetch the file again"),
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
    SURE("RF64", 0, SOUND, "an RF64 recording", NULL),
    SURE("BW64", 0, SOUND, "a BW64 recording", NULL),
    KIND("WAVE", 8, SOUND, "a wav recording", NULL),
    KIND("AVI ", 8, UNREAD, "an AVI film", CONVERT_SOUND),
    KIND("RMID", 8, UNREAD, "a MIDI file", RENDER_NOTES),
    KIND("fLaC", 0, SOUND, "a FLAC recording", NULL),
    KIND("Speex   ", 28, UNREAD, "a Speex recording", CONVERT_SOUND),
    KIND("OggS", 0, SOUND, "an Ogg recording", NULL),
    KIND("ID3", 0, SOUND, "an MP3 recording", NULL),
    KIND("\xff\xfb", 0, SOUND, "an MP3 recording", NULL),
    KIND("\xff\xfa", 0, SOUND, "an MP3 recording", NULL),
    KIND("\xff\xf3", 0, SOUND, "an MP3 recording", NULL),
    KIND("\xff\xf2", 0, SOUND, "an MP3 recording", NULL),
    KIND("\xff\xe3", 0, SOUND, "an MP3 recording", NULL),
    KIND("\xff\xe2", 0, SOUND, "an MP3 recording", NULL),
    KIND("\xff\xfd", 0, SOUND, "an MPEG recording", NULL),
    KIND("\xff\xfc", 0, SOUND, "an MPEG recording", NULL),
    KIND("\xff\xf5", 0, SOUND, "an MPEG recording", NULL),
    KIND("\xff\xf4", 0, SOUND, "an MPEG recording", NULL),
    KIND("AIFF", 8, SOUND, "an AIFF recording", NULL),
    KIND("AIFC", 8, SOUND, "an AIFF recording", NULL),
    KIND("8SVX", 8, SOUND, "an 8SVX recording", NULL),
    KIND("16SV", 8, SOUND, "a 16SV recording", NULL),
    KIND(".snd\0", 0, SOUND, "an AU recording", NULL),
    KIND("dns.", 0, SOUND, "an AU recording", NULL),
    KIND("caff\0\1", 0, SOUND, "a CAF recording", NULL),
    KIND("riff\x2e\x91\xcf\x11", 0, SOUND, "a Wave64 recording", NULL),
    SURE("NIST_1A", 0, SOUND, "a NIST recording", NULL),
    KIND("Creative Voice File\x1a", 0, SOUND, "a VOC recording", NULL),
    KIND(" paf", 0, SOUND, "a PAF recording", NULL),
    KIND("fap ", 0, SOUND, "a PAF recording", NULL),
    KIND("\x64\xa3\1\0", 0, SOUND, "an IRCAM recording", NULL),
    KIND("\x64\xa3\2\0", 0, SOUND, "an IRCAM recording", NULL),
    KIND("\x64\xa3\3\0", 0, SOUND, "an IRCAM recording", NULL),
    KIND("\x64\xa3\4\0", 0, SOUND, "an IRCAM recording", NULL),
    KIND("\0\1\xa3\x64", 0, SOUND, "an IRCAM recording", NULL),
    KIND("\0\2\xa3\x64", 0, SOUND, "an IRCAM recording", NULL),
    KIND("\0\3\xa3\x64", 0, SOUND, "an IRCAM recording", NULL),
    KIND("\0\4\xa3\x64", 0, SOUND, "an IRCAM recording", NULL),
    SURE("PVF1\n", 0, SOUND, "a PVF recording", NULL),
    KIND("Extended Instrument: ", 0, SOUND, "an XI recording", NULL),
    KIND("\xf0\x7e", 0, SOUND, "an SDS recording", NULL),
    KIND("2BIT", 0, SOUND, "an AVR recording", NULL),
    KIND("ALawSoundFile**", 0, SOUND, "a Psion recording", NULL),
    KIND("\x1a\x45\xdf\xa3", 0, UNREAD, "a WebM or Matroska file", CONVERT_SOUND),
    KIND("\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, UNREAD, "a WMA or WMV file", CONVERT_SOUND),
    KIND("ftypM4", 4, UNREAD, "an M4A recording", CONVERT_SOUND),
    KIND("ftypqt", 4, UNREAD, "a QuickTime film", CONVERT_SOUND),
    KIND("ftyp3g", 4, UNREAD, "a 3GP recording or film", CONVERT_SOUND),
    KIND("ftypiso", 4, UNREAD, "an MP4 recording or film", CONVERT_SOUND),
    KIND("ftypmp4", 4, UNREAD, "an MP4 recording or film", CONVERT_SOUND),
    KIND("ftypdash", 4, UNREAD, "an MP4 recording or film", CONVERT_SOUND),
    KIND("ftypavc1", 4, UNREAD, "an MP4 recording or film", CONVERT_SOUND),
    KIND("ftypF4", 4, UNREAD, "an MP4 recording or film", CONVERT_SOUND),
    KIND("\xff\xf1", 0, UNREAD, "an AAC recording", CONVERT_SOUND),
    KIND("\xff\xf9", 0, UNREAD, "an AAC recording", CONVERT_SOUND),
    KIND("\xff\xf0", 0, UNREAD, "an AAC recording", CONVERT_SOUND),
    KIND("\xff\xf8", 0, UNREAD, "an AAC recording", CONVERT_SOUND),
    KIND("ADIF", 0, UNREAD, "an AAC recording", CONVERT_SOUND),
    KIND("\x56\xe0", 0, UNREAD, "an AAC recording", CONVERT_SOUND),
    SURE("#!AMR", 0, UNREAD, "an AMR recording", CONVERT_SOUND),
    SURE("#!SILK", 0, UNREAD, "a SILK recording", "convert it to wav with a decoder of SILK"),
    KIND("\2#!SILK", 0, UNREAD, "a SILK recording", "convert it to wav with a decoder of SILK"),
    KIND("\x0b\x77", 0, UNREAD, "an AC-3 recording", CONVERT_SOUND),
    KIND("\x77\x0b", 0, UNREAD, "an AC-3 recording", CONVERT_SOUND),
    KIND("\x7f\xfe\x80\1", 0, UNREAD, "a DTS recording", CONVERT_SOUND),
    KIND("MThd", 0, UNREAD, "a MIDI file", RENDER_NOTES),
    KIND("Extended Module: ", 0, UNREAD, "a tracker module", CONVERT_SOUND),
    KIND("IMPM", 0, UNREAD, "a tracker module", CONVERT_SOUND),
    KIND("SCRM", 44, UNREAD, "a tracker module", CONVERT_SOUND),
    KIND(".RMF", 0, UNREAD, "a RealMedia file", CONVERT_SOUND),
    KIND(".ra\xfd", 0, UNREAD, "a RealAudio recording", CONVERT_SOUND),
    KIND("MAC ", 0, UNREAD, "a Monkey's Audio recording", CONVERT_SOUND),
    KIND("wvpk", 0, UNREAD, "a WavPack recording", CONVERT_SOUND),
    KIND("TTA1", 0, UNREAD, "a True Audio recording", CONVERT_SOUND),
    KIND("TTA2", 0, UNREAD, "a True Audio recording", CONVERT_SOUND),
    KIND("tBaK", 0, UNREAD, "a TAK recording", CONVERT_SOUND),
    KIND("MPCK", 0, UNREAD, "a Musepack recording", CONVERT_SOUND),
    KIND("MP+", 0, UNREAD, "a Musepack recording", CONVERT_SOUND),
    KIND("ajkg", 0, UNREAD, "a Shorten recording", CONVERT_SOUND),
    KIND("OFR ", 0, UNREAD, "an OptimFROG recording", "convert it to wav first: ofr --decode"),
    KIND("DSD ", 0, UNREAD, "a DSD recording", CONVERT_SOUND),
    KIND("FRM8", 0, UNREAD, "a DSD recording", CONVERT_SOUND),
    KIND("qoaf", 0, UNREAD, "a QOA recording", CONVERT_SOUND),
    KIND("FLV\1", 0, UNREAD, "a Flash film", CONVERT_SOUND),
    KIND("\0\0\1\xba", 0, UNREAD, "an MPEG film", CONVERT_SOUND),
    KIND("\0\0\1\xb3", 0, UNREAD, "an MPEG film", CONVERT_SOUND),
    KIND("\x89PNG\r\n\x1a\n", 0, PICTURE, "a PNG image", NULL),
    KIND("\x89PNG", 0, OTHER, "a PNG image damaged by a text-mode transfer", DAMAGED),
    KIND("\xc2\x89PNG", 0, OTHER, "a PNG image damaged by a text-mode transfer", DAMAGED),
    KIND("\xef\xbf\xbdPNG", 0, OTHER, "a PNG image damaged by a text-mode transfer", DAMAGED),
    KIND("\xc3\xbf\xc3\x98\xc3\xbf", 0, OTHER, "a JPEG image damaged by a text-mode transfer",
         DAMAGED),
    KIND("\xff\xd8\xff", 0, PICTURE, "a JPEG image", NULL),
    SURE("GIF87a", 0, PICTURE, "a GIF image", CONVERT_PICTURE),
    SURE("GIF89a", 0, PICTURE, "a GIF image", CONVERT_PICTURE),
    KIND("WEBP", 8, PICTURE, "a WebP image", CONVERT_PICTURE),
    KIND("RIFF", 0, OTHER, "a RIFF file", NULL),
    KIND("II*\0", 0, PICTURE, "a TIFF image", CONVERT_PICTURE),
    KIND("MM\0*", 0, PICTURE, "a TIFF image", CONVERT_PICTURE),
    KIND("II+\0", 0, PICTURE, "a TIFF image", CONVERT_PICTURE),
    KIND("MM\0+", 0, PICTURE, "a TIFF image", CONVERT_PICTURE),
    KIND("ftypavi", 4, PICTURE, "an AVIF image", "convert it first: avifdec FILE picture.png"),
    KIND("ftyphe", 4, PICTURE, "a HEIC image", CONVERT_HEIF),
    KIND("ftypmif", 4, PICTURE, "a HEIF image", CONVERT_HEIF),
    KIND("ftypmsf", 4, PICTURE, "a HEIF image", CONVERT_HEIF),
    KIND("\0\0\0\x0cJXL \r\n\x87\n", 0, PICTURE, "a JPEG XL image", CONVERT_JXL),
    KIND("\xff\x0a", 0, PICTURE, "a JPEG XL image", CONVERT_JXL),
    KIND("\0\0\0\x0cjP  \r\n\x87\n", 0, PICTURE, "a JPEG 2000 image", CONVERT_PICTURE),
    KIND("\xff\x4f\xff\x51", 0, PICTURE, "a JPEG 2000 image", CONVERT_PICTURE),
    KIND("\0\0\1\0", 0, PICTURE, "an icon (ICO)", CONVERT_PICTURE),
    KIND("\0\0\2\0", 0, PICTURE, "a TGA image or a cursor", CONVERT_PICTURE),
    KIND("\0\0\3\0\0\0\0\0", 0, PICTURE, "a TGA image", CONVERT_PICTURE),
    KIND("\0\0\x0a\0\0\0\0\0", 0, PICTURE, "a TGA image", CONVERT_PICTURE),
    KIND("\1\xda\0", 0, PICTURE, "an SGI image", CONVERT_PICTURE),
    KIND("\1\xda\1", 0, PICTURE, "an SGI image", CONVERT_PICTURE),
    SURE("%!PS", 0, PICTURE, "a PostScript drawing",
         "convert it first: gs -sDEVICE=png16m -o picture.png FILE"),
    KIND("AT&TFORM", 0, PICTURE, "a DjVu document", "convert it first: ddjvu -format=ppm FILE"),
    KIND("8BPS", 0, PICTURE, "a Photoshop image", CONVERT_PICTURE),
    KIND("gimp xcf", 0, PICTURE, "a GIMP image", "export it as PNG"),
    KIND("qoif", 0, PICTURE, "a QOI image", CONVERT_PICTURE),
    KIND("\x0a\5\1", 0, PICTURE, "a PCX image", CONVERT_PICTURE),
    KIND("\x76\x2f\x31\1", 0, PICTURE, "an OpenEXR image", CONVERT_PICTURE),
    SURE("#?RADIANCE\n", 0, PICTURE, "a Radiance HDR image", CONVERT_PICTURE),
    KIND("DDS ", 0, PICTURE, "a DDS image", CONVERT_PICTURE),
    KIND("\x59\xa6\x6a\x95", 0, PICTURE, "a Sun raster image", CONVERT_PICTURE),
    KIND("DICM", 128, PICTURE, "a DICOM image", "convert it first: dcm2pnm +on FILE picture.png"),
    KIND("PF\n", 0, PICTURE, "a PFM image", CONVERT_PICTURE),
    KIND("Pf\n", 0, PICTURE, "a PFM image", CONVERT_PICTURE),
    SURE("P7\nWIDTH", 0, PICTURE, "a PAM image", CONVERT_PICTURE),
    KIND("\x93NUMPY", 0, INPUT, "a NumPy array", NULL),
    KIND("\x89HDF", 0, OTHER, "an HDF5 file", NULL),
    SURE("%PDF", 0, OTHER, "a PDF document", NULL),
    KIND("\x7f"
         "ELF",
         0, OTHER, "a program", NULL),
};

size_t mega_sniff_torch_legacy(const void *bytes, size_t size)
{
    /* LONG1 of 10 bytes: 0x1950a86a20f9469cfc6c, STOP */
    static const uint8_t number[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                     0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
    const size_t proto = 2, frame = 9; /* PROTO n, and from 4 on perhaps FRAME with its length */
    const uint8_t *data = bytes;
    if (size < proto + sizeof number || data[0] != 0x80 || data[1] < 2 || data[1] > 5)
        return 0;
    const size_t at = proto + (data[1] >= 4 && data[2] == 0x95 ? frame : 0);
    return size >= at + sizeof number && memcmp(data + at, number, sizeof number) == 0
               ? at + sizeof number
               : 0;
}

/* Recognises an ONNX model, which is a protocol buffer: ir_version (field 1, a small number), then
 * a string in field 2 or a graph. */
static bool looks_like_onnx(const uint8_t *data, size_t size)
{
    return size > 4 && data[0] == 0x08 && data[1] > 0 && data[1] < 32 &&
           (data[2] == 0x12 || data[2] == 0x1a || data[2] == 0x3a);
}

/* Recognises HTK: the number of samples, the sample period in units of 100 ns, and two bytes per
 * sample, a waveform. */
static bool looks_like_htk(const uint8_t *data, size_t size)
{
    return size > 12 && memcmp(data + 8, "\0\2\0\0", 4) == 0 && !data[4] && !data[5] && data[6] &&
           !(data[0] & 0x80);
}

static bool looks_like_html(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size && at < 64 &&
           (data[at] <= ' ' || data[at] >= 0x80)) /* blanks or a byte order mark */
        at++;
    return size - at >= 5 && (strncasecmp((const char *)data + at, "<html", 5) == 0 ||
                              strncasecmp((const char *)data + at, "<!doc", 5) == 0 ||
                              strncasecmp((const char *)data + at, "<?xml", 5) == 0);
}

/* Skips white space and comments, and a number that white space follows. */
static bool skip_number(const uint8_t *data, size_t size, size_t *at)
{
    const size_t begin = *at;
    for (bool comment = false; *at < size; ++*at) {
        if (data[*at] == '#')
            comment = true;
        else if (data[*at] == '\n')
            comment = false;
        else if (!comment && !memchr(" \t\r", data[*at], 3))
            break;
    }
    const size_t number = *at;
    while (*at < size && data[*at] >= '0' && data[*at] <= '9')
        ++*at;
    return number > begin && *at > number && *at < size && memchr(" \t\r\n", data[*at], 4);
}

/* Recognises PBM, PGM and PPM: "P1" to "P6", width, height and, except for bits, the largest
 * value. */
static bool looks_like_pnm(const uint8_t *data, size_t size)
{
    size_t at = 2;
    return size > 2 && data[0] == 'P' && data[1] >= '1' && data[1] <= '6' &&
           skip_number(data, size, &at) && skip_number(data, size, &at) &&
           (data[1] == '1' || data[1] == '4' || skip_number(data, size, &at));
}

/* Recognises BMP. Four bytes after the file's size comes the position of the pixels, and then the
 * size of a header, which is small. A text has letters there. */
static bool looks_like_bmp(const uint8_t *data, size_t size)
{
    return size >= 18 && data[0] == 'B' && data[1] == 'M' && data[14] >= 12 && data[14] <= 124 &&
           !data[15] && !data[16] && !data[17];
}

/* Recognises "<svg", perhaps after a declaration and comments. */
static bool looks_like_svg(const uint8_t *data, size_t size)
{
    if (size < 4)
        return false;
    const char *root = memmem(data, size < MEGA_SNIFF_SIZE ? size : MEGA_SNIFF_SIZE, "<svg", 4);
    size_t at = 0;
    while (at < size && (data[at] <= ' ' || data[at] >= 0x80)) /* blanks or a byte order mark */
        at++;
    return root && at < size && data[at] == '<' &&
           !memmem(data, (size_t)(root - (const char *)data), "<html", 5);
}

/* Returns whether there are no control characters except white space, in any encoding of
 * letters. */
static bool has_no_controls(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] < ' ' && !(data[i] >= '\t' && data[i] <= '\r'))
            return false;
    return size > 0;
}

bool mega_sniff_utf8(const void *bytes, size_t size)
{
    const uint8_t *data = bytes;
    size_t at = 0, length = 1;
    for (; at < size && length; at += length)
        length = mega_utf8_decode(data + at, size - at, NULL);
    const bool cut = size >= MEGA_SNIFF_SIZE && size - at < 4;
    return has_no_controls(data, at) && (at == size || cut);
}

static bool fits(const Kind *kind, bool text, const uint8_t *data, size_t size)
{
    const bool sure = kind->sure || !text || (uint8_t)kind->magic[0] >= 0x80;
    return sure && size >= (size_t)kind->offset + kind->length &&
           memcmp(data + kind->offset, kind->magic, kind->length) == 0;
}

/* ---- Encodings of text ---------------------------------------------------------------------- */

typedef struct Encoding {
    const char *name;      /* the name that iconv uses */
    const char *mark;
    size_t mark_size, unit; /* in bytes */
    bool big;               /* the most significant byte comes first */
} Encoding;

/* The byte order mark of UTF-32LE begins with that of UTF-16LE. */
static const Encoding encodings[] = {
    {"UTF-32LE", "\xff\xfe\0", 4, 4, false}, /* the literal's NUL is the fourth byte */
    {"UTF-32BE", "\0\0\xfe\xff", 4, 4, true},
    {"UTF-16LE", "\xff\xfe", 2, 2, false},
    {"UTF-16BE", "\xfe\xff", 2, 2, true},
};

static uint32_t load_unit(const Encoding *encoding, const uint8_t *at)
{
    uint32_t value = 0;
    for (size_t i = 0; i < encoding->unit; i++)
        value = value << 8 | at[encoding->big ? i : encoding->unit - 1 - i];
    return value;
}

static bool is_text_character(uint32_t code)
{
    if (code < ' ')
        return code >= '\t' && code <= '\r';
    return code <= 0x10ffff && (code & 0xfffe) != 0xfffe && (code < 0x7f || code > 0x9f);
}

/* Returns whether all whole units are characters of a text. The last unit or surrogate pair may be
 * incomplete. */
static bool decodes(const Encoding *encoding, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at + encoding->unit <= size; at += encoding->unit) {
        const uint32_t code = load_unit(encoding, data + at);
        if ((code & ~0x7ffu) != 0xd800) {
            if (!is_text_character(code))
                return false;
            continue;
        }
        if (encoding->unit == 4 || code >= 0xdc00)
            return false;
        at += 2;
        if (at + 2 <= size && (load_unit(encoding, data + at) & ~0x3ffu) != 0xdc00)
            return false;
    }
    return true;
}

/* Recognises an encoding without a byte order mark. Zeros in the upper bytes of most units are
 * Latin letters. A text in other letters has some zeros, from its blanks and line ends. It is not
 * UTF-8, and not mostly ASCII as a Latin-1 text with a NUL in it would be. */
static bool looks_encoded(const Encoding *encoding, const uint8_t *data, size_t size)
{
    size_t high = 0, low = 0, ascii = 0, units = size / encoding->unit;
    uint32_t code = 0;
    bool utf8 = true;
    for (size_t i = 0; i < units * encoding->unit; i++) {
        const bool upper = encoding->big ? i % encoding->unit == 0
                                         : i % encoding->unit == encoding->unit - 1;
        high += upper && !data[i];
        low += !upper && !data[i];
        ascii += data[i] >= ' ' && data[i] < 0x7f;
    }
    for (size_t at = 0, length; at < size && size - at >= 4 && utf8; at += length) {
        length = mega_utf8_decode(data + at, size - at, &code);
        utf8 = length > 0 && (code == 0 || is_text_character(code));
    }
    if (encoding->unit == 4)
        return units >= 2 && high == units;
    return units >= 2 && high > low &&
           (2 * high > units || (!utf8 && 4 * ascii < 3 * (size - high - low)));
}

const char *mega_sniff_encoding(const void *bytes, size_t size, bool binary)
{
    const uint8_t *data = bytes;
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        const Encoding *encoding = &encodings[i];
        const size_t mark = encoding->mark_size;
        if (size >= mark && memcmp(data, encoding->mark, mark) == 0 &&
            decodes(encoding, data + mark, size - mark) &&
            (!binary || memchr(data + mark, 0, size - mark)))
            return encoding->unit == 4 ? "UTF-32" : "UTF-16";
        if (!binary && looks_encoded(encoding, data, size) && decodes(encoding, data, size))
            return encoding->name;
    }
    return NULL;
}

MegaFileKind mega_sniff(const void *bytes, size_t size)
{
    const uint8_t *data = bytes;
    const bool text = has_no_controls(data, size < MEGA_SNIFF_SIZE ? size : MEGA_SNIFF_SIZE);
    if (size == 5 && memcmp(data, MEGA_MAGIC, 5) == 0) /* the first line of the magic */
        return kinds[0].kind;
    if (mega_sniff_torch_legacy(data, size))
        return (MegaFileKind){MEGA_ROLE_CHECKPOINT, "a PyTorch checkpoint of the legacy format",
                              NULL};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (fits(&kinds[i], text, data, size))
            return kinds[i].kind;
    if (mega_sniff_encoding(bytes, size < MEGA_SNIFF_SIZE ? size : MEGA_SNIFF_SIZE, true))
        return (MegaFileKind){MEGA_ROLE_OTHER, "UTF-16 or UTF-32 text",
                              "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"};
    if (looks_like_bmp(data, size))
        return (MegaFileKind){MEGA_ROLE_PICTURE, "a BMP image", NULL};
    if (looks_like_pnm(data, size))
        return (MegaFileKind){MEGA_ROLE_PICTURE, "a PBM, PGM or PPM image", CONVERT_PICTURE};
    if (looks_like_svg(data, size))
        return (MegaFileKind){MEGA_ROLE_PICTURE, "an SVG drawing",
                              "convert it first: rsvg-convert -o picture.png FILE"};
    if (looks_like_html(data, size))
        return (MegaFileKind){MEGA_ROLE_TEXT, "a web page",
                              "fetch the file itself, not the page about it"};
    if (looks_like_htk(data, size))
        return (MegaFileKind){MEGA_ROLE_SOUND, "an HTK recording", NULL};
    if (looks_like_onnx(data, size))
        return (MegaFileKind){MEGA_ROLE_OTHER, "an ONNX model",
                              "use the PyTorch checkpoint it was exported from, with mega-convert"};
    if (text)
        return (MegaFileKind){MEGA_ROLE_TEXT, "a text file", NULL};
    return (MegaFileKind){.role = MEGA_ROLE_UNKNOWN};
}
