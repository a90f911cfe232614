/*
 * descriptors.h - guards the three standard descriptors, any of which may be closed when a program
 * starts.
 */
#ifndef MEGA_DESCRIPTORS_H
#define MEGA_DESCRIPTORS_H

/* Occupies those of 0 to 2 that are closed, so that no file opened later becomes standard input or
 * output; reading and writing them still fails. main calls this before anything else. */
void secure_descriptors(void);

#endif
