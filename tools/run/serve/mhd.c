/*
 * mhd.c - see mhd.h.
 */
#include "tools/run/serve/mhd.h"

#include <dlfcn.h>
#include <string.h>

Mhd mhd;

int mhd_load(MegaError *err)
{
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {
#define ENTRY(name) {"MHD_" #name, offsetof(Mhd, name)},
        MHD_FUNCTIONS(ENTRY)
#undef ENTRY
    };
    void *library = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "a server needs the library libmicrohttpd, which cannot be loaded (%s); "
                         "Debian 12 has it in the package libmicrohttpd12, Debian 13 in "
                         "libmicrohttpd12t64",
                         dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *function = dlsym(library, functions[i].name);
        if (!function)
            return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                             "this libmicrohttpd has no function %s; a newer one is needed",
                             functions[i].name);
        /* C has no cast from a data pointer to a function pointer. */
        memcpy((char *)&mhd + functions[i].offset, &function, sizeof function);
    }
    return 0;
}
