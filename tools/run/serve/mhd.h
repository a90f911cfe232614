/*
 * mhd.h - the functions of libmicrohttpd, which is loaded when a server begins.
 *
 * mega-run is not linked with it: the library brings GnuTLS and its relatives, and to load these
 * takes half as long as all else that happens at a start. Every command would wait for what only
 * the server uses.
 */
#ifndef MEGA_MHD_H
#define MEGA_MHD_H

#include <microhttpd.h>

#include "src/mega.h"

#define MHD_FUNCTIONS(each)                                                                        \
    each(add_response_header) each(create_response_from_buffer)                                    \
    each(create_response_from_callback) each(destroy_response) each(get_connection_info)           \
    each(get_connection_values) each(get_connection_values_n) each(lookup_connection_value)        \
    each(queue_response) each(quiesce_daemon) each(set_connection_option) each(start_daemon)       \
    each(stop_daemon)

/* mhd.start_daemon is MHD_start_daemon, and so on. All are NULL before mhd_load. */
typedef struct Mhd {
#define MEMBER(name) __typeof__(MHD_##name) *name;
    MHD_FUNCTIONS(MEMBER)
#undef MEMBER
} Mhd;

extern Mhd mhd;

/* Loads the library, which then stays loaded until the process ends. The caller has no other
 * threads yet. */
int mhd_load(MegaError *err);

#endif
