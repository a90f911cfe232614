/*
 * audio.h - reads recordings as a stream of mono samples at the rate that a model takes.
 *
 * It reads all formats of libsndfile (wav, flac, ogg, aiff, au, ...), mp3 and headerless PCM, from
 * a path or, for "-", from standard input. A recording ends where its samples end, whatever its
 * header says, and recordings one after another are read as one; tags, zeros and junk before and
 * after the sound are left out. Channels are mixed and the rate is converted by pcm.h.
 *
 * Memory does not grow with the length of a recording, except that a compressed or wav stream on a
 * pipe is first read whole, up to MEGA_SOURCE_MAX_PIPE bytes. Headerless PCM is never held back:
 * samples come out as they arrive.
 */
#ifndef MEGA_AUDIO_H
#define MEGA_AUDIO_H

#include "src/mega.h"

#define MEGA_AUDIO_MAX_HOURS 24 /* most hours of one file; headerless PCM has no limit */

/* Returns whether a recording seems to begin in these first bytes of a file, after tags, zeros or
 * junk. */
bool mega_audio_recognize(const void *bytes, size_t size);

/* Opens a recording. If it is cut short, whatever its format, that is an error here, unless partial
 * is set. */
int mega_audio_open(MegaAudio **out, const char *path, const MegaAudioOptions *options,
                    MegaError *err);
void mega_audio_close(MegaAudio *audio);

/* Reads the next samples, in [-1, 1). *count becomes their number, from 1 to `capacity`, or 0 at
 * the end. Lossy formats and the conversion of rates may overshoot that range a little, but no
 * sample is a NaN or an infinity. */
int mega_audio_read(MegaAudio *audio, float *samples, size_t capacity, size_t *count,
                    MegaError *err);

/* Returns "PATH ends after 12.3 s, in the middle of ..." if a recording is cut short and partial
 * was set, else NULL. */
const char *mega_audio_cut(const MegaAudio *audio);

#endif
