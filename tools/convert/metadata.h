/*
 * metadata.h - builds the metadata of a .mega file: configuration, provenance, labels, vocabulary,
 * and how to prepare an input.
 */
#ifndef MEGA_METADATA_H
#define MEGA_METADATA_H

#include "formats/mega/meta.h"
#include "formats/text/tokenizer.h"
#include "src/pipeline/preprocess.h"
#include "tools/convert/architecture.h"

/* Provenance that the user gives on the command line; NULL leaves a field out. */
typedef struct Provenance {
    const char *name, *license, *source;
    bool is_default; /* commands take it before other models of its folder */
} Provenance;

/* The options of the command line. An option that is not given is NULL, NAN or a negative
 * number. */
typedef struct MetadataOptions {
    Provenance provenance;
    const char *input_path;
    const char *dict; /* path; it serves both sides of a translator, unless these are given: */
    const char *source_dict, *target_dict;
    const char *vocab;        /* path of a vocabulary, for S4 and model folders */
    const char *special;      /* names and tokens, for model folders: "cls=<s>,sep=</s>" */
    const char *templates[2]; /* [template_count]: "cls A sep" */
    int template_count;
    bool upper, lower;      /* how letters are looked up; neither: as they are */
    bool unknown_each;      /* unknown characters next to each other are one token each */
    const char *bpe_codes;  /* path */
    MegaBpeOptions bpe;     /* vocabulary, threshold, glossaries */
    const char *source_lang, *target_lang;
    bool moses;
    bool lower_capitals; /* sources in capitals are read in small letters */
    const char *labels; /* path, or names separated by commas */
    long audio_rate, audio_length;
    double audio_mean, audio_std;
    double pixel_mean[4], pixel_std[4];
    int pixel_mean_count, pixel_std_count; /* 0, 1 or the number of channels */
    int text_unit;                         /* MegaTextUnit, or -1 */
    bool quiet;                            /* no warnings */
} MetadataOptions;

typedef struct MetaText {
    const char *key, *value;
} MetaText;

/* Sets the texts that are not NULL, which must be UTF-8. */
int metadata_set_texts(MegaMeta *meta, const MetaText *texts, size_t count, MegaError *err);
/* Sets the provenance that the user gives, which must be UTF-8, too. */
int metadata_set_provenance(MegaMeta *meta, const Provenance *provenance, MegaError *err);

/* Prints a note to stderr, unless the options say not to. */
void metadata_note(const MetadataOptions *options, const char *sentence);

/* Lets pictures of another size be stretched to the model's if the argument image_fit says so. */
int metadata_image_fit(MegaImagePreprocess *image, const json_t *args, MegaError *err);

/* Builds *out, which mega_meta_free frees. args may be NULL. */
int build_metadata(MegaMeta **out, const MetadataOptions *options, const Architecture *architecture,
                   const MegaCheckpoint *checkpoint, const json_t *args, MegaError *err);

#endif
