/*
 * fuzz_zip.c - fuzzes zip archives: opens them, reads and verifies every entry.
 */
#include "formats/checkpoint/zip.h"
#include "tests/fuzz/fuzz.h"

#define MAX_CONTENT (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MegaError err = {0};
    MegaZip *zip = NULL;
    int code = mega_zip_open(&zip, data, size, "fuzz.zip", &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; !code && i < mega_zip_count(zip); i++) {
        const MegaZipEntry *entry = mega_zip_entry(zip, i);
        MegaBuffer content = {0};
        int status = mega_zip_read(zip, entry, MAX_CONTENT, &content, &err);
        fuzz_check_error(status, err.text);
        if (!status && content.size != entry->size)
            __builtin_trap();
        if (!entry->deflated)
            fuzz_check_error(mega_zip_verify(zip, entry, &err), err.text);
        mega_buffer_free(&content);
    }
    mega_zip_close(zip);
    return 0;
}
