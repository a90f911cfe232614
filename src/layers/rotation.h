/*
 * rotation.h - the rotary bias with angles in float32, as part of queries and keys.
 *
 *   f_m = exp(-m ln 10000 / (z/2)), i f_m     each rounded to float32
 *   bias[i, j] = (R_i alpha) . (R_j beta)     R_i rotates by the angles i f_m
 *
 * With rounded angles the bias no longer depends on j - i alone, and at thousands of positions it
 * differs visibly from the exact one (attention.h). So R_i alpha, divided by the scale that the
 * products get, is appended to query i, and R_j beta to key j: their product contains the bias.
 */
#ifndef MEGA_ROTATION_H
#define MEGA_ROTATION_H

#include <stddef.h>

/* Fills rotation [positions][z] for the positions first ... first + positions - 1: z/2 cosines,
 * then z/2 sines. */
void mega_rotation_fill(float *rotation, size_t first, size_t positions, size_t zdim);
/* out [z] = R x times factor, where R is the rotation [z] of a position; out may be `rotation`. */
void mega_rotate(const float *rotation, size_t zdim, const float *x, float factor, float *out);

#endif
