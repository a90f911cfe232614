/*
 * media.c - the table of the decoders in formats/media, which libmega-media gives to pipelines.
 */
#include "formats/media/audio.h"
#include "formats/media/image.h"

const MegaMedia *mega_media(void)
{
    static const MegaMedia media = {
        .is_sound = mega_audio_recognize,
        .open_sound = mega_audio_open,
        .read_sound = mega_audio_read,
        .sound_cut = mega_audio_cut,
        .close_sound = mega_audio_close,
        .open_picture = mega_image_open,
    };
    return &media;
}
