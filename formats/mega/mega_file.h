/*
 * mega_file.h - reads and writes the .mega container. formats/mega/MEGA-FORMAT.md describes the
 * byte layout.
 *
 * A file is a list of typed metadata values (meta.h) and a list of named tensors. Reading maps the
 * file and checks header, metadata, index, spans and sizes. It leaves the tensor data alone until
 * it is asked for. Nothing here knows what the metadata or the tensors mean.
 */
#ifndef MEGA_FILE_H
#define MEGA_FILE_H

#include "formats/mega/meta.h"
#include "formats/tensor/dtype.h"
#include "src/mega.h"

#define MEGA_MAX_RANK 4
#define MEGA_MAX_TENSORS 65536
#define MEGA_MAX_NAME 255
#define MEGA_DATA_ALIGNMENT 64

/* Reader and writer share these constants of the layout. */
#define MEGA_FORMAT_VERSION 1
#define MEGA_HEADER_SIZE 64
#define MEGA_MAX_INDEX (1u << 28)      /* bytes */
#define MEGA_MAX_BLOCK_SIZE (1u << 24) /* decoded bytes */
#define MEGA_WRITER_MEMORY (1u << 20)  /* bytes that compression needs besides the tensor */
#define MEGA_MAX_DEFLATE_RATIO 1032    /* the largest ratio that deflate can reach */

typedef enum MegaEncoding {
    MEGA_PLAIN = 0,        /* little-endian elements that are used in place from the mapping */
    MEGA_ZLIB_SHUFFLE = 1, /* blocks of byte-shuffled elements, each compressed on its own with
                              zlib */
    MEGA_TIED = 2,         /* shares the data of another tensor of the same dtype and shape */
    MEGA_IN_PANELS = 3,    /* a matrix as panels (panels.h) that are used in place from the
                              mapping */
} MegaEncoding;

/* The reader refuses an encoding of this number or above, and tables indexed by an encoding have
 * this many entries, so that no file reaches beyond them. */
#define MEGA_ENCODING_COUNT 4
_Static_assert(MEGA_IN_PANELS + 1 == MEGA_ENCODING_COUNT, "an encoding was added");

typedef struct MegaTensor {
    const char *name;
    size_t index; /* number in the file: mega_file_tensor(file, index) returns this tensor */
    MegaDtype dtype;
    MegaEncoding encoding;
    int rank;
    uint64_t shape[MEGA_MAX_RANK];    /* row-major, every dimension at least 1 */
    uint64_t elements;                /* product of shape */
    uint64_t offset, stored_size;     /* span in the file; 0, 0 if the tensor is tied */
    uint64_t size;                    /* bytes after decoding, row-major: mega_dtype_bytes */
    uint32_t crc;                     /* CRC-32 of the decoded bytes */
    int tied_to;                      /* index of the tensor that holds the data, or -1 */
    uint32_t block_size, block_count; /* decoded bytes per block and number of blocks if the
                                         tensor is compressed, else 0; a tied tensor has those of
                                         its holder */
} MegaTensor;

typedef struct MegaFile MegaFile;

/* Opens a file and checks all of it but the tensors' data. Messages name `path`, and say what kind
 * of file it is if it is not a .mega file. Close *out with mega_file_close. */
int mega_file_open(MegaFile **out, const char *path, MegaError *err);
/* Does the same for a file in memory. The bytes must stay there until mega_file_close;
 * messages call it `name`. */
int mega_file_from_memory(MegaFile **out, const void *bytes, size_t size, const char *name,
                          MegaError *err);
void mega_file_close(MegaFile *file);

const char *mega_file_name(const MegaFile *file);
uint64_t mega_file_size(const MegaFile *file);
const MegaMeta *mega_file_meta(const MegaFile *file);
size_t mega_file_tensor_count(const MegaFile *file);
const MegaTensor *mega_file_tensor(const MegaFile *file, size_t index);
/* Returns the tensor called `name`, or NULL if there is none. */
const MegaTensor *mega_file_find(const MegaFile *file, const char *name);

/* Returns where the bytes of a plain tensor lie in the mapping (64-byte aligned in the file), or
 * NULL if it has another encoding. A tied tensor has the bytes of the tensor that it is tied to. */
const void *mega_file_data(const MegaFile *file, const MegaTensor *tensor);
/* Returns the same for a tensor that is stored in panels, or NULL if it is not. */
const void *mega_file_panels(const MegaFile *file, const MegaTensor *tensor);

/* Decodes a tensor of any encoding to dst [tensor->size bytes]. Checks every block's checksum, and
 * the whole tensor's too. Safe to call from several threads. A file that became shorter since it
 * was opened is an error, up to a race with the writer (MEGA-FORMAT.md, last section). */
int mega_file_read(const MegaFile *file, const MegaTensor *tensor, void *dst, MegaError *err);
/* Decodes block number `block` of a compressed tensor (or of one tied to it) so that a caller can
 * spread the blocks over threads: dst takes the bytes from block * block_size on, block_size of
 * them or what is left of the tensor. Checks the block's checksum. */
int mega_file_read_block(const MegaFile *file, const MegaTensor *tensor, uint32_t block, void *dst,
                         MegaError *err);
/* Checks that every scale of a quantized tensor is valid, which checksums do not show. Call it
 * before using data in place (mega_file_data, mega_file_panels); mega_file_read does it, too. */
int mega_file_check_items(const MegaFile *file, const MegaTensor *tensor, MegaError *err);
/* Checks the checksum of every tensor and block, and the padding, without keeping the data. */
int mega_file_verify(const MegaFile *file, MegaError *err);
/* Does the same, but leaves out compressed tensors, since reading them checks them block by
 * block. */
int mega_file_verify_in_place(const MegaFile *file, MegaError *err);

/* ---- Writing -------------------------------------------------------------------------------- */

typedef struct MegaWriter MegaWriter;

typedef struct MegaTensorDecl {
    const char *name;
    MegaDtype dtype;
    int rank;
    uint64_t shape[MEGA_MAX_RANK];
    int tied_to; /* index of an earlier declaration whose data this one shares, or -1 */
    bool panels; /* if the tensor is not compressed, store it as MEGA_IN_PANELS instead of plain;
                    rank 2 */
} MegaTensorDecl;

/* Starts a temporary file beside path; nothing appears under path before mega_writer_finish. meta
 * and the declarations are copied. With `compress`, tensors of more than MEGA_DATA_ALIGNMENT bytes
 * become MEGA_ZLIB_SHUFFLE; other tensors are stored plain or in panels. */
int mega_writer_new(MegaWriter **out, const char *path, const MegaMeta *meta,
                    const MegaTensorDecl *tensors, size_t count, bool compress, MegaError *err);
/* Appends the data of the next declared tensor that is not tied: decoded bytes in its dtype,
 * row-major. Tensors must be whole and in the order of the declarations. */
int mega_writer_tensor(MegaWriter *writer, const void *data, size_t size, MegaError *err);
/* Writes index and header, flushes to disk and renames. */
int mega_writer_finish(MegaWriter *writer, MegaError *err);
/* Frees the writer, and removes the temporary file unless mega_writer_finish succeeded. */
void mega_writer_free(MegaWriter *writer);

#endif
