/*
 * audio_chunks.c - finds where the samples of wav, RF64, Wave64, AIFF, AU and CAF files end.
 *
 * Writers that cannot go back leave sizes of 0 or a placeholder in the header, others die before
 * they fill it in, and files are cut. Therefore the declared size of the samples is compared with
 * the bytes that are there and with the other sizes in the file, and libsndfile gets a header with
 * the size that was found.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/media/audio_parts.h"

#define MAX_CHUNKS 1024  /* most chunks before and after the samples */
#define MAX_HEADER 65536 /* most bytes of a chunk that describes the samples */
#define MAX_TRAILING 4096  /* most bytes of junk after the samples, if no size tells more */

typedef enum Container { WAV, WAVE64, AIFF, AU, CAF } Container;

typedef struct Chunk {
    char id[4];
    uint64_t at, start; /* offsets of its header and of its content in the file */
    uint64_t size;      /* size of its content, as the header says */
} Chunk;

/* The state while the chunks of a file are read. */
typedef struct Walk {
    MegaAudioFile *file;
    MegaAudioParts *parts;
    Container container;
    bool big;     /* numbers are big-endian */
    uint64_t at;  /* offset of the file's header */
    uint64_t end; /* end of the file as its header says, or 0 if it does not say */
    /* size of the samples of an RF64 file, or 0 if that of the chunk is valid */
    uint64_t long_size;
    Chunk format, fact;    /* size is 0 until the chunk was seen */
    uint64_t data, bytes;  /* offset of the first samples, and number of bytes of all */
    bool exact;            /* the sizes in the header were right */
    MegaAudioPart samples; /* the ranges of the samples in the file */
} Walk;

/* ---- Numbers -------------------------------------------------------------------------------- */

static unsigned load_u16(const Walk *walk, const uint8_t *p)
{
    const uint16_t little = mega_load_u16(p);
    return walk->big ? __builtin_bswap16(little) : little;
}

static uint32_t load_u32(const Walk *walk, const uint8_t *p)
{
    const uint32_t little = mega_load_u32(p);
    return walk->big ? __builtin_bswap32(little) : little;
}

static uint64_t load_u64(const Walk *walk, const uint8_t *p)
{
    const uint64_t little = mega_load_u64(p);
    return walk->big ? __builtin_bswap64(little) : little;
}

static void put_u32(const Walk *walk, MegaBuffer *out, uint32_t value)
{
    mega_put_u32(out, walk->big ? __builtin_bswap32(value) : value);
}

static void put_u64(const Walk *walk, MegaBuffer *out, uint64_t value)
{
    mega_put_u64(out, walk->big ? __builtin_bswap64(value) : value);
}

/* ---- Chunks --------------------------------------------------------------------------------- */

/* Reads the header of the chunk at an offset. Returns false if there cannot be one. */
static bool read_chunk(const Walk *walk, uint64_t at, Chunk *out)
{
    uint8_t head[24];
    const size_t header = walk->container == WAVE64 ? 24 : walk->container == CAF ? 12 : 8;
    if (mega_audio_file_read(walk->file, at, head, header) < header)
        return false;
    memcpy(out->id, head, 4);
    for (int i = 0; i < 4; i++)
        if (head[i] < ' ' || head[i] > '~')
            return false;
    out->at = at;
    out->start = at + header;
    if (walk->container == WAVE64) {
        const uint64_t size = mega_load_u64(head + 16);
        out->size = size >= 24 ? size - 24 : 0;
    } else {
        out->size = walk->container == CAF ? load_u64(walk, head + 4) : load_u32(walk, head + 4);
    }
    return true;
}

/* Returns the offset after a chunk and its padding, or the end of the file if that comes first. */
static uint64_t end_of_chunk(const Walk *walk, const Chunk *chunk)
{
    const uint64_t left = walk->file->size - chunk->start;
    if (chunk->size > left)
        return walk->file->size;
    uint64_t padding = 0;
    if (walk->container == WAVE64)
        padding = -chunk->size & 7;
    else if (walk->container != CAF)
        padding = chunk->size & 1;
    return chunk->size + padding > left ? walk->file->size : chunk->start + chunk->size + padding;
}

/* Returns whether a chunk begins at an offset. It is the first of those that follow, which are not
 * looked at here: a file may have a thousand of them, after each of which this is asked. The end of
 * the file may cut samples and lists. */
static bool is_chunk(const Walk *walk, uint64_t at)
{
    Chunk chunk;
    return at < walk->file->size && read_chunk(walk, at, &chunk) &&
           (chunk.size <= walk->file->size - chunk.start || memcmp(chunk.id, "data", 4) == 0 ||
            memcmp(chunk.id, "LIST", 4) == 0);
}

static bool is_samples(const Walk *walk, const Chunk *chunk)
{
    return memcmp(chunk->id, walk->container == AIFF ? "SSND" : "data", 4) == 0;
}

/* ---- How many bytes the samples are --------------------------------------------------------- */

/* Returns whether samples go on at an offset, after a declared size that was too small. They do
 * not if a tag, another recording or only a little junk is there, or if the file's header gives the
 * same end as the chunk. */
static bool goes_on(const Walk *walk, uint64_t at)
{
    const uint64_t size = walk->file->size;
    const bool sure = walk->end && walk->end + 1 >= at && walk->end <= at + 1;
    const uint64_t next = mega_audio_skip_tags(walk->file, at);
    return !sure && next == at && size - at > MAX_TRAILING && !mega_audio_begins(walk->file, at);
}

/* Returns whether a size that does not fit means "to the end". Programs write the largest number,
 * or one that is smaller by the length of some header. With 64 bits only the numbers themselves
 * count, since a recording of nearly that length may really have been cut. */
static bool is_placeholder(const Walk *walk, uint64_t size)
{
    if (walk->container == WAVE64 || walk->container == CAF || walk->long_size)
        return size >> 62 || size == UINT32_MAX || size == INT32_MAX || size == 0x80000000u;
    return (size >= 0x7f000000u && size <= 0x80010000u) || size >= 0xff000000u;
}

/* Returns whether the size is wrong but the file is complete. It is complete if the file's header
 * gives its real size. It is so, too, if the size includes some of the header, or is that of the
 * whole file, and the file's header declares less. */
static bool is_miscounted(const Walk *walk, const Chunk *chunk, uint64_t declared)
{
    const uint64_t size = walk->file->size, excess = declared - (size - chunk->start);
    const uint64_t header = chunk->start - walk->at;
    if (walk->end && walk->end == size)
        return true;
    return walk->container == WAV && excess <= header && walk->end < chunk->start + declared;
}

/* Takes the samples of a chunk, with the declared size or, if that is wrong, with the real one.
 * Returns the offset after them. */
static uint64_t take_samples(Walk *walk, const Chunk *chunk)
{
    const uint64_t left = walk->file->size - chunk->start;
    const uint64_t declared =
        walk->long_size && chunk->size == UINT32_MAX ? walk->long_size : chunk->size;
    const Chunk whole = {.start = chunk->start, .size = declared};
    uint64_t taken = left, end = walk->file->size;
    if (declared && declared <= left) {
        end = end_of_chunk(walk, &whole);
        const uint64_t unpadded = chunk->start + declared;
        if (end != unpadded && !is_chunk(walk, end) && is_chunk(walk, unpadded))
            end = unpadded;
        if (is_chunk(walk, end) || !goes_on(walk, end)) {
            taken = declared;
        } else {
            walk->exact = false;
            end = walk->file->size;
        }
    } else if (!declared) {
        walk->exact = false;
        if (!left || is_chunk(walk, chunk->start)) {
            taken = 0;
            end = chunk->start;
        }
    } else {
        walk->exact = false;
        if (!is_placeholder(walk, declared) && !is_miscounted(walk, chunk, declared))
            walk->parts->cut = "its samples";
    }
    mega_audio_add_range(walk->parts, &walk->samples, chunk->start, taken);
    walk->bytes += taken;
    if (!walk->data)
        walk->data = chunk->start;
    return end;
}

/* ---- The header for libsndfile -------------------------------------------------------------- */

/* Copies a chunk as it is. */
static void put_chunk(const Walk *walk, MegaBuffer *out, const Chunk *chunk)
{
    uint8_t block[256];
    if (!chunk->size)
        return;
    mega_put_bytes(out, chunk->id, 4);
    put_u32(walk, out, (uint32_t)chunk->size);
    for (uint64_t done = 0; done < chunk->size;) {
        const uint64_t left = chunk->size - done;
        const size_t got = mega_audio_file_read(walk->file, chunk->start + done, block,
                                                left < sizeof block ? (size_t)left : sizeof block);
        if (!got)
            break;
        mega_put_bytes(out, block, got);
        done += got;
    }
    if (chunk->size & 1)
        mega_put_u8(out, 0);
}

/* Samples of 24 bits may lie in 4 bytes each, of which libsndfile would take 3. They lie in the
 * upper bits, so the header can declare samples of 32 bits instead. */
static void fill_containers(const Walk *walk, uint8_t *format)
{
    const unsigned tag = load_u16(walk, format), channels = load_u16(walk, format + 2);
    const unsigned frame = load_u16(walk, format + 12), bits = load_u16(walk, format + 14);
    const unsigned filled = channels ? frame / channels * 8 : 0;
    if (tag != 1 || filled > 32 || bits == 0 || (bits + 7) / 8 * 8 >= filled ||
        filled / 8 * channels != frame)
        return;
    format[14] = walk->big ? 0 : (uint8_t)filled;
    format[15] = walk->big ? (uint8_t)filled : 0;
}

static void put_wav_header(const Walk *walk, MegaBuffer *out)
{
    const bool is_long = walk->bytes > UINT32_MAX - 2 * MAX_HEADER;
    const uint64_t rest = walk->bytes + walk->format.size + walk->fact.size + 64;
    mega_put_bytes(out, is_long ? "RF64" : walk->big ? "RIFX" : "RIFF", 4);
    put_u32(walk, out, is_long ? UINT32_MAX : (uint32_t)rest);
    mega_put_bytes(out, "WAVE", 4);
    if (is_long) {
        mega_put_bytes(out, "ds64", 4);
        put_u32(walk, out, 28);
        put_u64(walk, out, rest);
        put_u64(walk, out, walk->bytes);
        put_u64(walk, out, 0);
        put_u32(walk, out, 0);
    }
    const size_t format = out->size + 8;
    put_chunk(walk, out, &walk->format);
    if (!out->failed && out->size >= format + 16)
        fill_containers(walk, out->data + format);
    if (walk->exact)
        put_chunk(walk, out, &walk->fact);
    mega_put_bytes(out, "data", 4);
    put_u32(walk, out, is_long ? UINT32_MAX : (uint32_t)walk->bytes);
}

/* Writes the header of an AIFF file. Its description has a count of frames, which is computed anew
 * if the size was wrong. */
static void put_aiff_header(const Walk *walk, MegaBuffer *out, const uint8_t *magic)
{
    const size_t at = out->size + 12 + 8;
    const uint64_t bytes = walk->bytes < INT32_MAX ? walk->bytes : INT32_MAX;
    mega_put_bytes(out, "FORM", 4);
    put_u32(walk, out,
            (uint32_t)(4 + 8 + walk->format.size + (walk->format.size & 1) + 16 + bytes));
    mega_put_bytes(out, magic + 8, 4);
    put_chunk(walk, out, &walk->format);
    if (!walk->exact && !out->failed && out->size >= at + 18) {
        uint8_t *fields = out->data + at;
        const uint32_t channels = (uint32_t)fields[0] << 8 | fields[1];
        const uint32_t bits = (uint32_t)fields[6] << 8 | fields[7];
        const uint32_t frame = channels * ((bits + 7) / 8);
        mega_store_u32(fields + 2, __builtin_bswap32(frame ? (uint32_t)(bytes / frame) : 0));
    }
    mega_put_bytes(out, "SSND", 4);
    put_u32(walk, out, (uint32_t)(8 + bytes));
    put_u64(walk, out, 0);
}

static bool is_mpeg_in_wav(const Walk *walk)
{
    uint8_t tag[2] = {0};
    mega_audio_file_read(walk->file, walk->format.start, tag, 2);
    const unsigned format = load_u16(walk, tag);
    return walk->container <= WAVE64 && (format == 0x50 || format == 0x55);
}

/* Adds the part, which is a header followed by the ranges of the samples. */
static void add_part(Walk *walk, const uint8_t *magic)
{
    MegaBuffer header = {0};
    if (is_mpeg_in_wav(walk)) {
        const uint64_t size = walk->file->size;
        const uint64_t first = mega_audio_skip_tags(walk->file, walk->data);
        if (walk->data + walk->bytes < size)
            walk->file->size = walk->data + walk->bytes;
        walk->parts->cut = NULL; /* the frames will tell whether the file is cut */
        MegaAudioPart *part = NULL;
        if (mega_audio_is_mpeg(walk->file, first, 1))
            mega_audio_scan_mpeg(walk->parts, walk->file, first);
        else if ((part = mega_audio_add_part(walk->parts)))
            part->mpeg = true; /* the part stays empty */
        walk->file->size = size;
        return;
    }
    MegaAudioPart *part = mega_audio_add_part(walk->parts);
    if (walk->container == AIFF)
        put_aiff_header(walk, &header, magic);
    else
        put_wav_header(walk, &header);
    walk->parts->failed |= header.failed;
    mega_audio_add_bytes(walk->parts, part, header.data, header.size);
    for (size_t i = 0; i < walk->samples.count; i++)
        mega_audio_add_range(walk->parts, part, walk->samples.pieces[i].at,
                             walk->samples.pieces[i].size);
    mega_buffer_free(&header);
}

/* ---- Formats -------------------------------------------------------------------------------- */

/* Moves the beginning of a chunk of AIFF to its samples. An offset from here to there, which is
 * seldom used, and a block size come before them. */
static void skip_to_samples(Walk *walk, Chunk *chunk)
{
    uint8_t offset[4] = {0};
    mega_audio_file_read(walk->file, chunk->start, offset, 4);
    uint64_t skipped = 8 + (uint64_t)load_u32(walk, offset);
    if (skipped > chunk->size || chunk->start + skipped > walk->file->size)
        skipped = 8; /* the offset is missing */
    chunk->start += chunk->start + skipped <= walk->file->size ? skipped : 0;
    chunk->size = chunk->size > skipped ? chunk->size - skipped : 0;
}

/* Scans wav, RF64, Wave64 and AIFF: chunks in any order, of which several may hold samples. */
static uint64_t scan_riff(Walk *walk, const uint8_t *magic)
{
    uint64_t at = walk->at + (walk->container == WAVE64 ? 40 : 12);
    Chunk chunk = {0};
    bool ends_inside = false; /* the file ends inside a chunk */
    for (int i = 0; i < MAX_CHUNKS && !walk->parts->cut && read_chunk(walk, at, &chunk); i++) {
        if (walk->data && mega_audio_begins(walk->file, at))
            break; /* another recording begins */
        const bool description =
            memcmp(chunk.id, walk->container == AIFF ? "COMM" : "fmt ", 4) == 0;
        ends_inside = chunk.size > walk->file->size - chunk.start;
        if (is_samples(walk, &chunk)) {
            if (walk->container == AIFF)
                skip_to_samples(walk, &chunk);
            at = take_samples(walk, &chunk);
            continue;
        }
        if (ends_inside)
            break;
        if (description && chunk.size <= MAX_HEADER && !walk->format.size)
            walk->format = chunk;
        if (memcmp(chunk.id, "fact", 4) == 0 && chunk.size <= MAX_HEADER)
            walk->fact = chunk;
        if (memcmp(chunk.id, "ds64", 4) == 0 && chunk.size >= 16) {
            uint8_t sizes[16] = {0};
            mega_audio_file_read(walk->file, chunk.start, sizes, 16);
            walk->end = mega_load_u64(sizes) >> 62 ? 0 : walk->at + 8 + mega_load_u64(sizes);
            walk->long_size = mega_load_u64(sizes + 8);
        }
        at = end_of_chunk(walk, &chunk);
    }
    if (walk->format.size && walk->data)
        add_part(walk, magic);
    else if (ends_inside || at + 8 > walk->file->size)
        walk->parts->cut = "its header";
    return at;
}

/* Scans AU: a header, then samples. */
static uint64_t scan_au(Walk *walk)
{
    uint8_t head[24];
    MegaBuffer header = {0};
    if (mega_audio_file_read(walk->file, walk->at, head, sizeof head) < sizeof head) {
        walk->parts->cut = "its header";
        return walk->file->size;
    }
    const uint64_t start = walk->at + load_u32(walk, head + 4);
    if (start > walk->file->size) {
        walk->parts->cut = "its header";
        return walk->file->size;
    }
    const Chunk chunk = {"data", walk->at, start, load_u32(walk, head + 8)};
    const uint64_t end = take_samples(walk, &chunk);
    mega_put_bytes(&header, head, 4);
    put_u32(walk, &header, 24);
    put_u32(walk, &header, walk->bytes < UINT32_MAX ? (uint32_t)walk->bytes : UINT32_MAX);
    mega_put_bytes(&header, head + 12, 12);
    walk->parts->failed |= header.failed;
    MegaAudioPart *part = mega_audio_add_part(walk->parts);
    mega_audio_add_bytes(walk->parts, part, header.data, header.size);
    mega_audio_add_range(walk->parts, part, start, walk->bytes);
    mega_buffer_free(&header);
    return end;
}

/* Scans CAF: chunks with 64-bit sizes. All chunks are kept, since tables of packets may follow the
 * samples. Only the size of the samples is corrected. */
static uint64_t scan_caf(Walk *walk)
{
    uint64_t at = walk->at + 8;
    Chunk chunk = {0};
    bool found = false;
    for (int i = 0; i < MAX_CHUNKS && !found && read_chunk(walk, at, &chunk); i++) {
        found = is_samples(walk, &chunk);
        if (!found && chunk.size > walk->file->size - chunk.start)
            break;
        at = found ? at : end_of_chunk(walk, &chunk);
    }
    if (!found) {
        walk->parts->cut = "its header";
        return walk->file->size;
    }
    if (chunk.size == UINT64_MAX) /* this size means up to the end of the file */
        chunk.size = walk->file->size - chunk.start;
    uint64_t end = take_samples(walk, &chunk);
    MegaBuffer size = {0};
    put_u64(walk, &size, walk->bytes);
    MegaAudioPart *part = mega_audio_add_part(walk->parts);
    mega_audio_add_range(walk->parts, part, walk->at, chunk.start - 8 - walk->at);
    walk->parts->failed |= size.failed;
    mega_audio_add_bytes(walk->parts, part, size.data, size.size);
    mega_audio_add_range(walk->parts, part, chunk.start, walk->bytes);
    mega_buffer_free(&size);
    for (int i = 0; i < MAX_CHUNKS && read_chunk(walk, end, &chunk) &&
                    chunk.size <= walk->file->size - chunk.start;
         i++) {
        mega_audio_add_range(walk->parts, part, end, end_of_chunk(walk, &chunk) - end);
        end = end_of_chunk(walk, &chunk);
    }
    return end;
}

bool mega_audio_is_chunks(const uint8_t head[16])
{
    const bool riff = memcmp(head, "RIFF", 4) == 0 || memcmp(head, "RIFX", 4) == 0 ||
                      memcmp(head, "RF64", 4) == 0 || memcmp(head, "BW64", 4) == 0;
    return (riff && memcmp(head + 8, "WAVE", 4) == 0) ||
           memcmp(head, "riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\4\xc1\0\0", 16) == 0 ||
           (memcmp(head, "FORM", 4) == 0 && memcmp(head + 8, "AIF", 3) == 0) ||
           memcmp(head, ".snd\0", 5) == 0 || memcmp(head, "dns.", 4) == 0 ||
           memcmp(head, "caff\0\1\0\0", 8) == 0;
}

uint64_t mega_audio_scan_chunks(MegaAudioParts *parts, MegaAudioFile *file, uint64_t at)
{
    uint8_t head[24] = {0};
    mega_audio_file_read(file, at, head, sizeof head);
    Walk walk = {.file = file, .parts = parts, .at = at, .container = WAV, .exact = true};
    if (memcmp(head, "riff", 4) == 0)
        walk.container = WAVE64;
    else if (memcmp(head, "FORM", 4) == 0)
        walk.container = AIFF;
    else if (memcmp(head, ".snd", 4) == 0 || memcmp(head, "dns.", 4) == 0)
        walk.container = AU;
    else if (memcmp(head, "caff", 4) == 0)
        walk.container = CAF;
    walk.big = walk.container == AIFF || walk.container == CAF || memcmp(head, "RIFX", 4) == 0 ||
               memcmp(head, ".snd", 4) == 0;
    uint64_t end;
    if (walk.container == WAVE64) {
        walk.end = at + mega_load_u64(head + 16);
        end = scan_riff(&walk, head);
    } else if (walk.container == AU) {
        end = scan_au(&walk);
    } else if (walk.container == CAF) {
        end = scan_caf(&walk);
    } else {
        const uint32_t size = load_u32(&walk, head + 4);
        walk.end = size && !is_placeholder(&walk, size) ? at + 8 + size : 0;
        end = scan_riff(&walk, head);
    }
    free(walk.samples.pieces);
    return end;
}
