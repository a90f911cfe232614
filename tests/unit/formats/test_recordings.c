/*
 * test_recordings.c - recordings as other programs write them (formats/media/audio_parts.h):
 * headers that were never filled in, several recordings in one file, tags and junk around the
 * sound, and truncated files.
 */
#include "tests/unit/recordings.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RATE 16000
#define LENGTH                                                                                     \
    100000 /* samples of a recording: 6.25 s, and no whole number of any format's frames */
#define MP3 (SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III)
#define VORBIS (SF_FORMAT_OGG | SF_FORMAT_VORBIS)
#define OPUS (SF_FORMAT_OGG | SF_FORMAT_OPUS)
#define FLAC (SF_FORMAT_FLAC | SF_FORMAT_PCM_16)

static float tone[LENGTH];

static int make_tone(void **state)
{
    for (int i = 0; i < LENGTH; i++)
        tone[i] = 0.3f * sinf((float)i * (0.05f + 0.0000007f * (float)i));
    return make_test_folder(state);
}

/* Returns the tone encoded in a format. */
static MegaBuffer encoded(int format)
{
    encode(format, RATE, 1, tone, LENGTH);
    return read_file();
}

static MegaBuffer pcm_bytes(void)
{
    MegaBuffer out = {0};
    for (int i = 0; i < LENGTH; i++)
        mega_put_u16(&out, (uint16_t)lrintf(tone[i] * 32767));
    return out;
}

/* Expects that the file gives so many samples, which repeat the tone with an error of at most
 * `most`. */
static void assert_tones(const char *what, const MegaBuffer *file, size_t expected, float most)
{
    MegaError err = {0};
    float *samples = NULL;
    size_t count = 0;
    write_file(file->data, file->size);
    if (read_all(test_path, &(MegaAudioOptions){.rate = RATE}, 5000, &samples, &count, &err))
        fail_msg("%s: %s", what, err.text);
    if (count != expected)
        fail_msg("%s: %zu samples, expected %zu", what, count, expected);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += fabs((double)samples[i] - (double)tone[i % LENGTH]);
    if (sum / (double)count > (double)most)
        fail_msg("%s: samples differ by %g", what, sum / (double)count);
    free(samples);
}

static void put_text(MegaBuffer *out, const char *text)
{
    mega_put_bytes(out, text, strlen(text));
}

/* Returns the parts joined together, and frees them. */
static MegaBuffer join(MegaBuffer first, MegaBuffer second)
{
    mega_put_bytes(&first, second.data, second.size);
    mega_buffer_free(&second);
    assert_false(first.failed);
    return first;
}

static MegaBuffer copy_of(const MegaBuffer *from)
{
    MegaBuffer out = {0};
    mega_put_bytes(&out, from->data, from->size);
    return out;
}

/* ---- Sizes in headers ----------------------------------------------------------------------- */

/* Returns the header of a wav file up to the samples. With `filled`, chunks precede the format. */
static MegaBuffer wav_header(uint32_t riff, uint32_t data, bool filled)
{
    MegaBuffer out = {0};
    static const uint8_t zeros[4008] = {0};
    put_text(&out, "RIFF");
    mega_put_u32(&out, riff);
    put_text(&out, "WAVE");
    if (filled) {
        put_text(&out, "JUNK");
        mega_put_u32(&out, 28);
        mega_put_bytes(&out, zeros, 28);
    }
    put_text(&out, "fmt ");
    mega_put_u32(&out, 16);
    mega_put_u16(&out, 1);
    mega_put_u16(&out, 1);
    mega_put_u32(&out, RATE);
    mega_put_u32(&out, 2 * RATE);
    mega_put_u16(&out, 2);
    mega_put_u16(&out, 16);
    if (filled) {
        put_text(&out, "FLLR");
        mega_put_u32(&out, sizeof zeros);
        mega_put_bytes(&out, zeros, sizeof zeros);
    }
    put_text(&out, "data");
    mega_put_u32(&out, data);
    return out;
}

static void test_sizes_that_were_never_filled_in(void **state)
{
    enum { SIZE = 2 * LENGTH };
    static const struct {
        uint32_t riff, data;
        bool filled;
    } cases[] = {
        {36, 0, false},
        {0, 0, false},
        {4088, 0, true},
        {0xffffffff, 0, false},
        {0xffffffff, 0xffffffff, false},
        {0x7ffff024, 0x7ffff000, false},
        {0x7fffffff, 0x7fffff00, false},
        {0, 0x7fffffff, false},
        {0x80000024, 0x80000000, false},
        {0xfffffff0, 0xfffffff0, false},
        {36 + SIZE, 0xffffffdb, false},
        {36 + SIZE, SIZE + 44, false}, /* the size of the file */
        {SIZE + 44, SIZE + 44, false},
        {36 + SIZE, 123456789, false}, /* nonsense, but the file is as long as it says */
        {0, 1000, false},              /* the writer died after its first block */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char what[32];
        MegaBuffer file =
            join(wav_header(cases[i].riff, cases[i].data, cases[i].filled), pcm_bytes());
        snprintf(what, sizeof what, "case %zu", i);
        assert_tones(what, &file, LENGTH, 1e-4f);
        mega_buffer_free(&file);
    }
}

/* Formats with other headers: the size at an offset is replaced by n, in big or little endian. */
static void test_other_headers(void **state)
{
    static const struct {
        int format;
        size_t at, size; /* offset and width of the field that has the size of the samples */
        uint64_t values[4];
    } cases[] = {
        {SF_FORMAT_AU | SF_FORMAT_PCM_16, 8, 4, {0, 0xffffffff, 0x7fffffff, 0x80000000}},
        {SF_FORMAT_CAF | SF_FORMAT_PCM_16, 0, 8, {0, UINT64_MAX, INT64_MAX, 0x7fffffff}},
        {SF_FORMAT_W64 | SF_FORMAT_PCM_16, 0, 8, {0, 24, UINT64_MAX, INT64_MAX}},
        {SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 0, 4, {0, 8, 0xffffffff, 0x7fffffff}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaBuffer file = encoded(cases[i].format);
        size_t at = cases[i].at;
        const char *id = cases[i].format >> 16 == SF_FORMAT_AIFF >> 16 ? "SSND" : "data";
        for (size_t j = 0; !at && j < 8192; j++)
            if (memcmp(file.data + j, id, 4) == 0)
                at = j + (cases[i].format >> 16 == SF_FORMAT_W64 >> 16 ? 16 : 4);
        for (size_t v = 0; v < 4; v++) {
            for (size_t b = 0; b < cases[i].size; b++) {
                const bool little = cases[i].format >> 16 == SF_FORMAT_W64 >> 16;
                const size_t shift = 8 * (little ? b : cases[i].size - 1 - b);
                file.data[at + b] = (uint8_t)(cases[i].values[v] >> shift);
            }
            assert_tones(id, &file, LENGTH, 1e-4f);
        }
        mega_buffer_free(&file);
    }
}

/* RF64 has the size in another chunk, or nowhere. */
static void test_rf64(void **state)
{
    MegaBuffer file = encoded(SF_FORMAT_RF64 | SF_FORMAT_PCM_16);
    (void)state;
    assert_memory_equal(file.data + 12, "ds64", 4);
    assert_tones("RF64", &file, LENGTH, 1e-4f);
    memset(file.data + 20, 0, 24);
    assert_tones("RF64 never filled in", &file, LENGTH, 1e-4f);
    memset(file.data + 20, 0xff, 24);
    assert_tones("RF64 with placeholders", &file, LENGTH, 1e-4f);
    memcpy(file.data, "BW64", 4);
    assert_tones("BW64", &file, LENGTH, 1e-4f);
    mega_buffer_free(&file);
}

static void test_chunks_around_the_samples(void **state)
{
    MegaBuffer bytes = pcm_bytes(), file = wav_header(0, LENGTH, false);
    (void)state;
    mega_put_bytes(&file, bytes.data, LENGTH);
    put_text(&file, "LIST\4");
    mega_put_bytes(&file, "\0\0\0INFO", 7);
    put_text(&file, "data");
    mega_put_u32(&file, LENGTH);
    mega_put_bytes(&file, bytes.data + LENGTH, LENGTH);
    mega_store_u32(file.data + 4, (uint32_t)file.size - 8);
    assert_tones("two data chunks", &file, LENGTH, 1e-4f);
    mega_buffer_free(&file);
    file = join(wav_header(36 + 2 * LENGTH, 2 * LENGTH, false), copy_of(&bytes));
    put_text(&file, "TAG and other junk");
    assert_tones("junk after", &file, LENGTH, 1e-4f);
    file.size -= 18;
    MegaBuffer two = join(copy_of(&file), copy_of(&file));
    assert_tones("one after the other", &two, 2 * LENGTH, 1e-4f);
    mega_buffer_free(&two);
    two = (MegaBuffer){0};
    mega_put_bytes(&two, "ID3\4\0\0\0\0\0\3abc", 13);
    two = join(two, copy_of(&file));
    assert_tones("after a tag", &two, LENGTH, 1e-4f);
    mega_buffer_free(&two);
    put_text(&two, "HTTP/1.1 200 OK\r\n\r\n");
    two = join(two, copy_of(&file));
    assert_tones("after junk", &two, LENGTH, 1e-4f);
    mega_buffer_free(&two);
    mega_buffer_free(&file);
    mega_buffer_free(&bytes);
}

/* ---- Several recordings, and other data around them ----------------------------------------- */

static void test_chained(void **state)
{
    static const struct {
        int format;
        float most;
    } cases[] = {{VORBIS, 0.05f}, {OPUS, 0.05f}, {FLAC, 1e-4f}, {MP3, 0.05f}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char what[32];
        snprintf(what, sizeof what, "format %#x", (unsigned)cases[i].format);
        MegaBuffer one = encoded(cases[i].format);
        assert_tones(what, &one, LENGTH, cases[i].most);
        MegaBuffer three = join(join(copy_of(&one), copy_of(&one)), copy_of(&one));
        assert_tones(what, &three, 3 * LENGTH, cases[i].most);
        mega_buffer_free(&three);
        mega_buffer_free(&one);
    }
}

/* Appends a page of Ogg with its checksum. */
static void put_page(MegaBuffer *out, uint8_t flags, uint64_t position, uint32_t number,
                     const uint8_t *packet, size_t size)
{
    const size_t start = out->size;
    uint32_t sum = 0;
    mega_put_bytes(out, "OggS", 5);
    mega_put_u8(out, flags);
    mega_put_u64(out, position);
    mega_put_u32(out, 77);
    mega_put_u32(out, number);
    mega_put_u32(out, 0);
    mega_put_u8(out, (uint8_t)(size / 255 + 1));
    for (size_t left = size;; left -= 255) {
        mega_put_u8(out, left < 255 ? (uint8_t)left : 255);
        if (left < 255)
            break;
    }
    mega_put_bytes(out, packet, size);
    for (size_t i = start; i < out->size; i++) {
        sum ^= (uint32_t)out->data[i] << 24;
        for (int bit = 0; bit < 8; bit++)
            sum = sum << 1 ^ (sum >> 31 ? 0x04c11db7u : 0);
    }
    mega_store_u32(out->data + start + 22, sum);
}

/* Returns FLAC in Ogg as flac and ffmpeg write it: a page for the header, one for the comments,
 * then pages that need not end with a frame. Its count of samples may be missing. */
static MegaBuffer flac_in_ogg(uint32_t total)
{
    MegaBuffer flac = encoded(FLAC), out = {0}, first = {0};
    size_t at = 42;
    uint32_t number = 0;
    mega_store_u32(flac.data + 22, __builtin_bswap32(total));
    mega_put_bytes(&first,
                   "\x7f"
                   "FLAC\1\0\0\1",
                   9);
    mega_put_bytes(&first, flac.data, 42);
    put_page(&out, 2, 0, number++, first.data, first.size);
    const size_t comment = 4 + ((size_t)flac.data[at + 2] << 8 | flac.data[at + 3]);
    put_page(&out, 0, 0, number++, flac.data + at, comment);
    for (at += comment; flac.data[at] != 0xff; at++)
        continue; /* padding */
    while (at < flac.size) {
        const size_t size = flac.size - at < 60000 ? flac.size - at : 60000;
        const bool last = at + size == flac.size;
        put_page(&out, last ? 4 : 0, last ? LENGTH : UINT64_MAX, number++, flac.data + at, size);
        at += size;
    }
    mega_buffer_free(&flac);
    mega_buffer_free(&first);
    assert_false(out.failed);
    return out;
}

static void test_flac_in_ogg(void **state)
{
    static const uint32_t totals[] = {LENGTH, 0, LENGTH / 2, 2 * LENGTH};
    (void)state;
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        MegaBuffer file = flac_in_ogg(totals[i]);
        assert_tones("FLAC in Ogg", &file, LENGTH, 1e-4f);
        MegaBuffer two = join(copy_of(&file), copy_of(&file));
        assert_tones("chained FLAC in Ogg", &two, 2 * LENGTH, 1e-4f);
        write_file(two.data, two.size - 100);
        assert_refused(NULL, RATE, MEGA_ERR_FORMAT, "in the middle of an Ogg page");
        mega_buffer_free(&two);
        mega_buffer_free(&file);
    }
}

/* The links of a radio stream may differ in rate and channels. */
static void test_links_of_other_rates(void **state)
{
    static const int formats[] = {VORBIS, FLAC, MP3};
    static float slow[2 * LENGTH];
    (void)state;
    for (size_t f = 0; f < 3; f++) {
        size_t count = 0;
        for (int i = 0; i < 2 * LENGTH; i++)
            slow[i] = 0.25f;
        MegaBuffer file = encoded(formats[f]);
        encode(formats[f], 32000, 2, slow, LENGTH);
        file = join(file, read_file());
        write_file(file.data, file.size);
        float *samples = read_good(test_path, NULL, RATE, 3000, &count);
        assert_int_equal(count, LENGTH + LENGTH / 2);
        double sum = 0;
        for (size_t i = LENGTH + 2000; i + 2000 < count; i++)
            sum += fabs((double)samples[i] - 0.25);
        assert_true(sum < 0.01 * LENGTH);
        free(samples);
        mega_buffer_free(&file);
    }
}

static void test_flac_totals(void **state)
{
    MegaBuffer file = encoded(FLAC);
    static const uint32_t totals[] = {0, LENGTH / 2, LENGTH - 1, 1, 4096, 2 * LENGTH};
    (void)state;
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        mega_store_u32(file.data + 22, __builtin_bswap32(totals[i]));
        assert_tones("FLAC with a wrong total", &file, LENGTH, 1e-4f);
    }
    mega_store_u32(file.data + 22, 0);
    file.size -= 5000;
    write_file(file.data, file.size);
    assert_refused(NULL, RATE, MEGA_ERR_FORMAT, "in the middle of a FLAC frame");
    mega_buffer_free(&file);
}

/* Tags and junk before and after the sound are neither sound nor an error. */
static void test_tags_and_junk(void **state)
{
    static const int formats[] = {FLAC, MP3, VORBIS, OPUS};
    static uint8_t tag[128] = "TAG", lyrics[] = "LYRICSBEGININD0000200000026LYRICS200",
                   ape[32] = "APETAGEX\xd0\7\0\0\x20\0\0\0\0\0\0\0\0\0\0\x80", zeros[3000],
                   id3[2010] = "ID3\3\0\0\0\0\1";
    (void)state;
    memset(tag + 3, 'a', 125);
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        const float most = formats[f] == FLAC ? 1e-4f : 0.05f;
        const MegaBuffer sound = encoded(formats[f]);
        const struct {
            const void *bytes;
            size_t size;
            bool after;
        } cases[] = {
            {tag, 128, true},
            {zeros, 1, true},
            {zeros, 3000, true},
            {lyrics, sizeof lyrics - 1, true},
            {ape, 32, true},
            {"and some junk that is not sound", 30, true},
            {zeros, 100, false},
            {"hello world, this is junk ", 26, false},
            {id3, 2010, false},
            {"\xff\xfb", 2, false},
            {"ID3\4\0\0\0\0\0\0", 10, true},
            {ape, 32, false},
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            char what[48];
            MegaBuffer file = {0};
            snprintf(what, sizeof what, "format %#x, case %zu", (unsigned)formats[f], i);
            if (!cases[i].after)
                mega_put_bytes(&file, cases[i].bytes, cases[i].size);
            mega_put_bytes(&file, sound.data, sound.size);
            if (cases[i].after)
                mega_put_bytes(&file, cases[i].bytes, cases[i].size);
            assert_tones(what, &file, LENGTH, most);
            mega_buffer_free(&file);
        }
        free(sound.data);
    }
}

/* ---- MPEG ----------------------------------------------------------------------------------- */

/* Returns where the second frame begins. */
static size_t second_frame(const MegaBuffer *mp3)
{
    size_t at = 2;
    while (mp3->data[at] != 0xff || mp3->data[at + 1] != mp3->data[1])
        at++;
    return at;
}

/* Without the table, the delay counts as sound: there are some frames more, and none is lost. */
static void test_mpeg_without_table(void **state)
{
    MegaBuffer file = encoded(MP3);
    const size_t at = second_frame(&file);
    size_t count = 0;
    (void)state;
    assert_memory_equal(file.data + 13, "Xing", 1); /* the table of MPEG 2 with one channel */
    write_file(file.data + at, file.size - at);
    free(read_good(test_path, NULL, RATE, 5000, &count));
    assert_true(count >= LENGTH && count < LENGTH + 4 * 576);
    assert_int_equal(count % 576, 0);
    mega_store_u32(file.data + 21, __builtin_bswap32(5)); /* the number of frames in the table */
    assert_tones("a table with too few frames", &file, LENGTH, 0.05f);
    mega_buffer_free(&file);
}

static void test_mpeg_in_wav(void **state)
{
    MegaBuffer mp3 = encoded(MP3), file = wav_header(0, 0, false);
    (void)state;
    mega_store_u16(file.data + 20, 0x55);
    file = join(file, mp3);
    mega_store_u32(file.data + 40, (uint32_t)file.size - 44);
    assert_tones("MP3 in wav", &file, LENGTH, 0.05f);
    mega_buffer_free(&file);
}

/* libmpg123 would print a message for every frame that lacks bits. */
static void test_decoders_are_silent(void **state)
{
    char messages[160];
    MegaBuffer file = encoded(MP3);
    float *samples = NULL;
    size_t count = 0;
    (void)state;
    snprintf(messages, sizeof messages, "%s.stderr", test_path);
    fflush(stderr);
    const int saved = dup(STDERR_FILENO);
    FILE *caught = fopen(messages, "w+");
    assert_true(saved >= 0 && caught != NULL);
    assert_true(dup2(fileno(caught), STDERR_FILENO) >= 0);
    for (size_t cut = 1; cut < 4; cut++) {
        for (size_t i = second_frame(&file) + 40 * cut; i < file.size; i += 97 * cut)
            file.data[i] ^= (uint8_t)i;
        write_file(file.data + 100 * cut, file.size / cut - 200);
        const MegaAudioOptions options = {.rate = RATE, .partial = true};
        read_all(test_path, &options, 5000, &samples, &count, NULL);
        free(samples);
    }
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    fseek(caught, 0, SEEK_END);
    const long size = ftell(caught);
    fclose(caught);
    unlink(messages);
    mega_buffer_free(&file);
    assert_int_equal(size, 0);
}

/* ---- Truncated files ------------------------------------------------------------------------ */

/* Every format has the same rule: an error that gives the time or, with `partial`, the samples that
 * are there. */
static void test_one_rule_for_cut_files(void **state)
{
    static const int formats[] = {
        SF_FORMAT_WAV | SF_FORMAT_PCM_16,
        SF_FORMAT_RF64 | SF_FORMAT_PCM_16,
        SF_FORMAT_W64 | SF_FORMAT_PCM_16,
        SF_FORMAT_AU | SF_FORMAT_PCM_16,
        SF_FORMAT_CAF | SF_FORMAT_PCM_16,
        SF_FORMAT_AIFF | SF_FORMAT_PCM_16,
        SF_FORMAT_WAV | SF_FORMAT_ULAW,
        SF_FORMAT_WAV | SF_FORMAT_MS_ADPCM,
        FLAC,
        VORBIS,
        OPUS,
        MP3,
    };
    static float noise[LENGTH]; /* a tone would fit into one page of Ogg */
    uint32_t seed = 1;
    (void)state;
    for (int i = 0; i < LENGTH; i++) {
        seed = seed * 1664525 + 1013904223;
        noise[i] = 0.3f * (float)(int32_t)seed / 2147483648.0f;
    }
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        encode(formats[f], RATE, 1, noise, LENGTH);
        MegaBuffer file = read_file();
        MegaError err = {0};
        MegaAudio *audio = NULL;
        const MegaAudioOptions options = {.rate = RATE, .partial = true};
        double seconds = 0;
        size_t count = 0, got = 1;
        float block[1000];
        write_file(file.data, file.size * 6 / 10);
        assert_refused(NULL, RATE, MEGA_ERR_FORMAT, "or accept what is there");
        if (mega_audio_open(&audio, test_path, &options, &err))
            fail_msg("format %#x: %s", (unsigned)formats[f], err.text);
        const char *cut = mega_audio_cut(audio), *time = cut ? strstr(cut, "ends after ") : NULL;
        if (!time || sscanf(time, "ends after %lf s, in the middle of", &seconds) != 1 ||
            !strstr(cut, " s, in the middle of "))
            fail_msg("format %#x: \"%s\"", (unsigned)formats[f], cut ? cut : "");
        while (got) {
            if (mega_audio_read(audio, block, 1000, &got, &err))
                fail_msg("format %#x: %s", (unsigned)formats[f], err.text);
            count += got;
        }
        if (count < LENGTH / 5 || count > LENGTH * 7 / 10 ||
            fabs((double)count / RATE - seconds) > 0.2)
            fail_msg("format %#x: %zu samples, after %g s", (unsigned)formats[f], count, seconds);
        mega_audio_close(audio);
        write_file(file.data, file.size);
        assert_int_equal(mega_audio_open(&audio, test_path, &options, &err), 0);
        assert_null(mega_audio_cut(audio));
        mega_audio_close(audio);
        mega_buffer_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_that_were_never_filled_in),
        cmocka_unit_test(test_other_headers),
        cmocka_unit_test(test_rf64),
        cmocka_unit_test(test_chunks_around_the_samples),
        cmocka_unit_test(test_chained),
        cmocka_unit_test(test_flac_in_ogg),
        cmocka_unit_test(test_links_of_other_rates),
        cmocka_unit_test(test_flac_totals),
        cmocka_unit_test(test_tags_and_junk),
        cmocka_unit_test(test_mpeg_without_table),
        cmocka_unit_test(test_mpeg_in_wav),
        cmocka_unit_test(test_decoders_are_silent),
        cmocka_unit_test(test_one_rule_for_cut_files),
    };
    return cmocka_run_group_tests(tests, make_tone, remove_test_folder);
}
