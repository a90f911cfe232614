/*
 * descriptors.h - the three standard descriptors, of which a program may be started without any.
 */
#ifndef MEGA_DESCRIPTORS_H
#define MEGA_DESCRIPTORS_H

/* Occupies those of 0 to 2 that are closed, so that no file that is opened later becomes standard
 * input or output. Reading and writing them goes on to fail. First of all in main. */
void secure_descriptors(void);

#endif
