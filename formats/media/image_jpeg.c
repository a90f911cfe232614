/*
 * image_jpeg.c - decodes JPEG with libjpeg; see image_file.h.
 *
 * If data are missing, libjpeg fills them with gray and only warns. Here a file is complete only if
 * it codes every block of every component; just the end mark may be missing. Zeros at the end of a
 * file are removed before, since libjpeg would decode them if the file was cut and then padded with
 * zeros.
 *
 * Four components are CMYK, or YCCK if the Adobe marker says so. They are taken as inverted, as
 * Adobe's programs write them and Pillow always assumes.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "formats/media/image_file.h"

#define MAX_SCANS 500 /* normal progressive files have about ten */
/* Each scan may visit every block, of which some bytes can skip ten thousands. How many are visited
 * is limited by what the file has: some scans of all blocks, and some visits for each byte. */
#define LEAST_VISITS ((uint64_t)10000000)
#define LIKELY_SCANS 16
#define VISITS_A_BYTE 64
#define KEPT_ZEROS 8  /* zeros that are kept at the end, since image data may end with some */

typedef struct JpegReader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf on_error;
    bool at_end;   /* all bytes were read, and end marks follow */
    bool cut;      /* data of a block are missing */
    bool too_long; /* there are more scans than most_scans */
    int most_scans;
    char message[JMSG_LENGTH_MAX];
} JpegReader;

/* ---- Callbacks of libjpeg ------------------------------------------------------------------- */

static JpegReader *reader_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

static void leave(j_common_ptr jpeg)
{
    JpegReader *reader = reader_of(jpeg);
    jpeg->err->format_message(jpeg, reader->message);
    longjmp(reader->on_error, 1);
}

/* Treats warnings, which have level -1, as errors, since they report damage. Those about unusual
 * but harmless files are ignored. */
static void note_message(j_common_ptr jpeg, int level)
{
    const int code = jpeg->err->msg_code;
    if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM ||
        code == JWRN_JFIF_MAJOR || code == JWRN_JPEG_EOF || code == JWRN_BOGUS_PROGRESSION ||
        code == JWRN_NOT_SEQUENTIAL || code == JWRN_BOGUS_ICC)
        return;
    if (code == JWRN_HIT_MARKER && reader_of(jpeg)->at_end)
        reader_of(jpeg)->cut = true;
    leave(jpeg);
}

static void print_nothing(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void count_scans(j_common_ptr jpeg)
{
    JpegReader *reader = reader_of(jpeg);
    if (reader->jpeg.input_scan_number <= reader->most_scans)
        return;
    reader->too_long = true;
    longjmp(reader->on_error, 1);
}

static void begin_source(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* Gives an end mark whenever libjpeg asks for more bytes. */
static boolean fill_source(j_decompress_ptr jpeg)
{
    static const JOCTET end_mark[] = {0xff, JPEG_EOI};
    reader_of((j_common_ptr)jpeg)->at_end = true;
    jpeg->src->next_input_byte = end_mark;
    jpeg->src->bytes_in_buffer = sizeof end_mark;
    return TRUE;
}

static void skip_source(j_decompress_ptr jpeg, long count)
{
    struct jpeg_source_mgr *source = jpeg->src;
    if (count <= 0)
        return;
    if ((unsigned long)count > source->bytes_in_buffer) {
        fill_source(jpeg);
        return;
    }
    source->next_input_byte += count;
    source->bytes_in_buffer -= (size_t)count;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

static void begin(JpegReader *reader, const MegaImageFile *file)
{
    size_t size = file->size;
    while (size && file->bytes[size - 1] == 0)
        size--;
    size = file->size - size > KEPT_ZEROS ? size + KEPT_ZEROS : file->size;
    reader->jpeg.err = jpeg_std_error(&reader->errors);
    reader->jpeg.client_data = reader;
    reader->errors.error_exit = leave;
    reader->errors.emit_message = note_message;
    reader->errors.output_message = print_nothing;
    reader->progress.progress_monitor = count_scans;
    reader->source = (struct jpeg_source_mgr){
        .next_input_byte = file->bytes,
        .bytes_in_buffer = size,
        .init_source = begin_source,
        .fill_input_buffer = fill_source,
        .skip_input_data = skip_source,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = begin_source,
    };
}

/* Reads the orientation from the saved segments. */
static void note_orientation(MegaImageFile *file, const struct jpeg_decompress_struct *jpeg)
{
    static const char exif[] = "Exif\0", xmp[] = "http://ns.adobe.com/xap/1.0/";
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next) {
        const size_t size = marker->data_length;
        if (size > sizeof exif && memcmp(marker->data, exif, sizeof exif) == 0)
            mega_image_note_exif(file, marker->data + sizeof exif, size - sizeof exif);
        else if (size > sizeof xmp && memcmp(marker->data, xmp, sizeof xmp) == 0)
            mega_image_note_xmp(file, marker->data + sizeof xmp, size - sizeof xmp);
    }
}

/* Returns the number of blocks of all components. */
static uint64_t count_blocks(const struct jpeg_decompress_struct *jpeg)
{
    uint64_t blocks = 0;
    const uint64_t rows = 8u * (unsigned)jpeg->max_v_samp_factor;
    const uint64_t columns = 8u * (unsigned)jpeg->max_h_samp_factor;
    for (int i = 0; i < jpeg->num_components; i++) {
        const jpeg_component_info *component = &jpeg->comp_info[i];
        blocks += (jpeg->image_width + columns - 1) / columns * (uint64_t)component->h_samp_factor *
                  ((jpeg->image_height + rows - 1) / rows) * (uint64_t)component->v_samp_factor;
    }
    return blocks;
}

/* Returns the memory that libjpeg needs for coefficients, which have 16 bits. For a file of several
 * scans it holds those of all blocks of all components, and for one of a single scan only a few
 * rows. */
static uint64_t coefficient_bytes(struct jpeg_decompress_struct *jpeg)
{
    return jpeg_has_multiple_scans(jpeg) ? count_blocks(jpeg) * sizeof(JBLOCK) : 0;
}

/* Returns how many scans a file may have. */
static int most_scans(const struct jpeg_decompress_struct *jpeg, const MegaImageFile *file)
{
    const uint64_t blocks = count_blocks(jpeg);
    const uint64_t visits = LEAST_VISITS + LIKELY_SCANS * blocks + VISITS_A_BYTE * file->size;
    return blocks && visits / blocks < MAX_SCANS ? (int)(visits / blocks) : MAX_SCANS;
}

/* Checks that the file is large enough for its pixels. A block has at least two codes of one bit,
 * or one in the first scan of a progressive file; only arithmetic codes are shorter. */
static int check_density(const struct jpeg_decompress_struct *jpeg, const MegaImageFile *file,
                         MegaError *err)
{
    const uint64_t pixels = (uint64_t)jpeg->image_width * jpeg->image_height;
    if (pixels / (jpeg->arith_code ? 16 * 512 : 512) <= file->size)
        return 0;
    return mega_fail(err, MEGA_ERR_FORMAT,
                     "%s declares %u x %u pixels, more than its %zu bytes can hold", file->name,
                     jpeg->image_width, jpeg->image_height, file->size);
}

static int read_header(JpegReader *reader, MegaImageFile *file, MegaError *err)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->src = &reader->source;
    jpeg->progress = &reader->progress;
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);
    note_orientation(file, jpeg);
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "%s is a JPEG file of %d components; expected gray, colour or CMYK",
                         file->name, jpeg->num_components);
    jpeg->out_color_space = jpeg->num_components == 1   ? JCS_GRAYSCALE
                            : jpeg->num_components == 3 ? JCS_RGB
                                                        : JCS_CMYK;
    reader->most_scans = most_scans(jpeg, file);
    const uint64_t pixels = (uint64_t)jpeg->image_width * jpeg->image_height;
    int code = mega_image_check_size(
        file, jpeg->image_width, jpeg->image_height,
        pixels * (jpeg->num_components == 1 ? 1 : 3) + coefficient_bytes(jpeg), err);
    return code ? code : check_density(jpeg, file, err);
}

/* Converts inverted CMYK to RGB: v k / 255, rounded. */
static void cmyk_to_rgb(const uint8_t *from, uint8_t *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++) {
            const unsigned product = from[4 * i + c] * (unsigned)from[4 * i + 3] + 128;
            to[3 * i + c] = (uint8_t)((product + (product >> 8)) >> 8);
        }
}

/* Returns whether the scans had every component and, if there was no end mark, every bit of it,
 * since libjpeg itself accepts less. */
static bool complete(const JpegReader *reader)
{
    const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    for (int i = 0; i < jpeg->num_components; i++) {
        if (!jpeg->comp_info[i].quant_table) /* this is set by the component's first scan */
            return false;
        for (int k = 0; reader->at_end && jpeg->progressive_mode && k < DCTSIZE2; k++)
            /* counts the bits that are still missing, or is -1 if all are */
            if (jpeg->coef_bits[i][k] != 0)
                return false;
    }
    return true;
}

static int read_pixels(JpegReader *reader, MegaImage *out, const MegaImageFile *file,
                       MegaError *err)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    const int channels = jpeg->num_components == 1 ? 1 : 3;
    const size_t width = jpeg->image_width, height = jpeg->image_height;
    out->width = (int)width;
    out->height = (int)height;
    out->channels = channels;
    out->pixels = malloc(width * height * (size_t)channels);
    if (!out->pixels)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the %zu x %zu pixels of %s", width,
                         height, file->name);
    jpeg_start_decompress(jpeg);
    if (!complete(reader))
        return mega_image_truncated(file, "JPEG", "scans are missing", err);
    JSAMPARRAY ink = NULL;
    if (jpeg->num_components == 4)
        ink = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, (JDIMENSION)(4 * width), 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = out->pixels + (size_t)jpeg->output_scanline * width * (size_t)channels;
        jpeg_read_scanlines(jpeg, ink ? ink : &row, 1);
        if (ink)
            cmyk_to_rgb(ink[0], row, width);
    }
    return 0;
}

static int fail(const JpegReader *reader, const MegaImageFile *file, MegaError *err)
{
    if (reader->too_long)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s is a JPEG file of more than %d scans, the limit for its size",
                         file->name, reader->most_scans);
    if (reader->cut)
        return mega_image_truncated(file, "JPEG", "its image data end too early", err);
    if (reader->at_end)
        return mega_image_truncated(file, "JPEG", "it ends before its image data", err);
    if (reader->errors.msg_code == JERR_OUT_OF_MEMORY)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the pixels of %s", file->name);
    return mega_fail(err, MEGA_ERR_FORMAT, "%s cannot be decoded: %s", file->name, reader->message);
}

int mega_image_decode_jpeg(MegaImage *out, MegaImageFile *file, MegaError *err)
{
    JpegReader *reader = calloc(1, sizeof *reader);
    int code;
    if (!reader)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", file->name);
    begin(reader, file);
    if (setjmp(reader->on_error)) {
        code = fail(reader, file, err);
    } else {
        code = read_header(reader, file, err);
        if (!code)
            code = read_pixels(reader, out, file, err);
    }
    jpeg_destroy_decompress(&reader->jpeg);
    free(reader);
    return code;
}
