/*
 * mega.h - the public interface of libmega, an inference engine for MEGA sequence models
 * ("Moving Average Equipped Gated Attention", arXiv 2209.10655).
 *
 * Most programs need two objects:
 *
 *   MegaModel     what a .mega file holds
 *   MegaPipeline  sound, pictures or text in; labels, translations, texts, scores or embeddings out
 *
 * This header declares pipelines. It includes mega_engine.h, which declares models and what a
 * pipeline is built on: sessions, decoders and searches, for a program that prepares its inputs
 * itself.
 *
 * Fallible functions return 0 or a negative MEGA_ERR_* code and put one sentence with its context
 * into the caller's MegaError (which may be NULL). After an error, what they would have made is
 * NULL, and structs that they would have filled in hold nothing, unless a function says otherwise.
 * Every *_free accepts NULL and such structs. Pointers to arrays of no elements may be NULL. The
 * library prints nothing and never exits.
 */
#ifndef MEGA_H
#define MEGA_H

#include "mega_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MEGA_MEDIA_API MEGA_API /* a function of libmega-media */

#define MEGA_VERSION "0.1.0"

/* ---- Pipelines: raw input to answer --------------------------------------------------------- */

/*
 * A pipeline owns a session, and the tokenizer and the preprocessing that a model file describes
 * beside its weights. It takes sound, pictures and text as a program has them and gives labels,
 * translations, texts, scores or embeddings. One pipeline serves one calling thread; any number of
 * pipelines may share a model. After an error, a pipeline is ready for the next input.
 *
 *       MegaPipeline *pipeline = NULL;
 *       MegaClassification heard = {0};
 *       MegaRaw sound = {.kind = MEGA_RAW_PCM, .data = samples, .size = bytes,
 *                        .pcm = {MEGA_PCM_S16LE, 44100, 2}};
 *       if (mega_pipeline_new(&pipeline, model, NULL, &err) ||
 *           mega_pipeline_classify(pipeline, &sound, 1, &heard, &err))
 *           fprintf(stderr, "%s\n", err.text);
 *       else
 *           puts(mega_model_label(model, heard.order[0]));
 *       mega_classification_free(&heard);
 *       mega_pipeline_free(pipeline);
 */
typedef struct MegaPipeline MegaPipeline;

typedef enum MegaPcmFormat {
    MEGA_PCM_U8,
    MEGA_PCM_S16LE,
    MEGA_PCM_S16BE,
    MEGA_PCM_S24LE,
    MEGA_PCM_S32LE,
    MEGA_PCM_F32LE, /* in [-1, 1] */
} MegaPcmFormat;

/* Says how samples are laid out in bytes: frame after frame, where a frame has one sample per
 * channel. */
typedef struct MegaPcm {
    MegaPcmFormat format;
    int rate;     /* Hz, 100 to 1000000; the library converts it to the model's rate */
    int channels; /* 1 to 64; the model sees their mean */
} MegaPcm;

typedef enum MegaRawKind {
    MEGA_RAW_TEXT,   /* UTF-8; one text may hold both texts of a pair, separated by a TAB */
    MEGA_RAW_PCM,    /* samples as `pcm` says */
    MEGA_RAW_PIXELS, /* 8 bits each, [height][width][channels] */
    MEGA_RAW_PATH,   /* a file that holds any of these; "-" is standard input. The library reads
                        texts itself, and sound and pictures through MegaPipelineOptions.media */
} MegaRawKind;

/* An input as a program has it. The library only reads it, and no longer needs it after the call,
 * except after mega_pipeline_begin. Bytes behind the last whole frame of samples are ignored. */
typedef struct MegaRaw {
    MegaRawKind kind;
    const void *data; /* text, samples, pixels, or a path that ends with NUL */
    size_t size;      /* bytes of data; 0 for a path */
    MegaPcm pcm;
    int width, height, channels; /* the size of pixels; channels is 1 for gray and 3 for RGB */
    const char *name;            /* begins messages; NULL: "the text" or the like */
} MegaRaw;

typedef struct MegaMedia MegaMedia;

/* Every field may be zero, which gives the usual behaviour. What fields point to need not outlive
 * mega_pipeline_new, except media and warn_context. partial, keep_orientation, pre_tokenized and
 * scan say nothing to models of other inputs; other options that do not fit the model are
 * MEGA_ERR_ARGUMENT. */
typedef struct MegaPipelineOptions {
    MegaSessionOptions session; /* max_memory also limits the samples or pixels of an input */
    const MegaMedia *media;     /* opens files of sound and pictures, such as mega_media(); with
                                   NULL, a path to such a file is an error */
    void (*warn)(void *context, const char *sentence); /* is told about inputs that are accepted
                                                          although something is wrong with them;
                                                          may be NULL */
    void *warn_context;
    bool ids;              /* texts of a classifier, a translator or a language model hold decimal
                              token ids, which are used unchanged; other models need the text */
    bool pre_tokenized;    /* texts are already tokenised; BPE is still applied */
    const MegaPcm *raw;    /* files of sound have no header and hold samples in this format; or
                              NULL */
    bool partial;          /* accept a truncated recording as far as it goes, with a warning */
    bool keep_orientation; /* keep pictures as stored, ignoring their Exif orientation */
    double window, hop;    /* seconds: the windows that mega_pipeline_next cuts from sound.
                              window 0: one clip per recording; hop 0: windows do not overlap */
    bool scan; /* without a window: cut a recording that is longer than the model's clip into
                  windows of one clip, a quarter of a clip apart */
    int chunk; /* the chunk of decoders, as in MegaDecoderOptions */
    bool stateful; /* with a window, of a causal S4 model: its layers hear the whole recording once,
                      in memory of constant size, and a window pools what they say in it. Otherwise
                      each window begins from nothing */
} MegaPipelineOptions;

/* Makes a pipeline. options may be NULL. The error is MEGA_ERR_MODEL if the model file does not
 * describe its inputs well enough. */
MEGA_API int mega_pipeline_new(MegaPipeline **out, const MegaModel *model,
                               const MegaPipelineOptions *options, MegaError *err);
MEGA_API void mega_pipeline_free(MegaPipeline *pipeline);
/* Returns the pipeline's own session, for a tap and for calls that take token ids or samples that
 * are already prepared for the model. While mega_pipeline_embed and mega_pipeline_states run, a tap
 * of their own is in the place of the caller's. */
MEGA_API MegaSession *mega_pipeline_session(MegaPipeline *pipeline);

/* ---- Labels */

typedef struct MegaClassification {
    float *probabilities; /* [count], indexed by class */
    int *order;           /* [count]: the classes, the most probable one first */
    int count;
    double start, end;       /* of sound: the seconds of the recording where the clip begins and
                                ends */
    bool is_cut;             /* the recording is longer; this is its first clip */
    bool is_scanned;         /* this is one of several windows, because of
                                MegaPipelineOptions.scan */
    double reading, running; /* seconds for reading and preparing the input, and for running the
                                model */
} MegaClassification;

/* Classifies one input, or the two inputs of a pair model. It looks at the first clip of a long
 * recording only. */
MEGA_API int mega_pipeline_classify(MegaPipeline *pipeline, const MegaRaw *inputs, int count,
                                    MegaClassification *out, MegaError *err);
/* These two classify a recording in windows. Call begin once, then next until it returns 0 at the
 * end, or an error, which ends the input, too. When next returns 1, *out holds the result of a
 * window, and the caller frees it. Sound from a pipe is classified as it arrives. The inputs must
 * not change before the end. Classifying or embedding another input ends them, too. */
MEGA_API int mega_pipeline_begin(MegaPipeline *pipeline, const MegaRaw *inputs, int count,
                                 MegaError *err);
MEGA_API int mega_pipeline_next(MegaPipeline *pipeline, MegaClassification *out, MegaError *err);
/* Lets go of an input that was not read to its end, as after mega_pipeline_classify. Otherwise its
 * file stays open until the next one. */
MEGA_API void mega_pipeline_end(MegaPipeline *pipeline);
MEGA_API void mega_classification_free(MegaClassification *classification);
/* Returns the length of the model's clips in seconds, or 0 if they have any length or the model
 * does not take sound. */
MEGA_API double mega_pipeline_clip(const MegaPipeline *pipeline);
/* Returns the rate of the model's samples in Hz, or 0 if the model does not take sound. */
MEGA_API int mega_pipeline_rate(const MegaPipeline *pipeline);
/* Returns the length in seconds of a recording whose clip is_cut, or 0 if that is not known. A file
 * is read to its end; the length of a pipe is never known. */
MEGA_API double mega_pipeline_length(MegaPipeline *pipeline);

/* ---- Texts */

/* A text that ends with NUL, which size does not count. It is UTF-8, unless the vocabulary consists
 * of bytes. */
typedef struct MegaText {
    char *data;
    size_t size;
} MegaText;

MEGA_API void mega_text_free(MegaText *text);

/* Translates `count` texts together; each gets the result that it would get alone. The hypotheses
 * have their text, and an empty text has no hypothesis. If the model's metadata say so
 * (text.capitals), a text in capitals is read in small letters, and those of its hypotheses are in
 * capitals; their tokens are as the model made them. Fills out [count], each of which
 * mega_translation_free frees; of a text that fails, it holds the source only. If errors [count] is
 * not NULL, a text that cannot be translated leaves its error there and does not stop the others.
 * Returns 0, or the first error. options may be NULL. */
MEGA_API int mega_pipeline_translate(MegaPipeline *pipeline, const MegaRaw *texts, int count,
                                     const MegaSearchOptions *options, MegaTranslation *out,
                                     MegaError *errors);

typedef enum MegaFinish {
    MEGA_FINISH_END,     /* </s> */
    MEGA_FINISH_STOP,    /* one of the stops */
    MEGA_FINISH_LENGTH,  /* max_tokens, or the model has no position left */
    MEGA_FINISH_REFUSED, /* the sink has refused more */
} MegaFinish;

/* Receives a text while it is made: a token, and those bytes that can no longer change. They are
 * whole characters, and no part of a possible stop. A first call with token -1 says that the prompt
 * was read. Returns whether generation of this sample goes on. */
typedef bool (*MegaTextSink)(void *context, int sample, int32_t token, const char *bytes,
                             size_t size);

/* Start from mega_generate_defaults, which sets the value that stands first in each comment. */
typedef struct MegaGenerateOptions {
    MegaSamplingOptions sampling; /* sample i is drawn with seed + i */
    int max_tokens;               /* 256 */
    int samples;                  /* 1: the number of texts made side by side */
    bool ignore_eos;              /* does not end at </s> */
    /* [stop_count]: the text ends before the first of these strings. Of several that the same token
     * completes, the first is the one that begins first, whatever their order here. */
    const char *const *stops;
    int stop_count;
    MegaTextSink sink; /* may be NULL */
    void *context;
    /* Receives the logits [vocab] that a token was drawn from, before the sink receives the token;
     * may be NULL. They are all exact then, whatever the sampling needs. */
    void (*logits)(void *context, int sample, int32_t token, const float *logits);
} MegaGenerateOptions;

MEGA_API MegaGenerateOptions mega_generate_defaults(void);

typedef struct MegaGeneration {
    MegaText text;
    int32_t *tokens; /* [count], with the final </s> */
    size_t count;
    MegaFinish finish;
} MegaGeneration;

/* Continues a text. Without a prompt (NULL, or an empty text) it starts at the beginning of a
 * line. out has room for options->samples results, each of which mega_generation_free frees. out
 * may be NULL if a sink takes the text; memory then does not grow with its length. */
MEGA_API int mega_pipeline_generate(MegaPipeline *pipeline, const MegaRaw *prompt,
                                    const MegaGenerateOptions *options, MegaGeneration *out,
                                    MegaError *err);
MEGA_API void mega_generation_free(MegaGeneration *generation);

/* ---- Scores and embeddings */

typedef struct MegaScoreOptions {
    bool eos; /* also score </s> at the end of a language model's text */
    /* A language model reads a text in pieces of so many tokens, each with an empty context and
     * from position 0 on; 0: in one piece. Of each piece the first context_window tokens, which
     * must be fewer, repeat the end of the piece before and are not scored again. */
    int tokens_per_sample, context_window;
    void (*progress)(void *context, size_t done); /* receives the number of tokens so far; may be
                                                     NULL */
    void *context;
} MegaScoreOptions;

typedef struct MegaScore {
    int32_t *tokens; /* [count] */
    float *logprobs; /* [count] natural logarithms of the tokens' probabilities */
    size_t count;
    double logprob;           /* the sum */
    size_t characters, bytes; /* size of the text that was scored */
} MegaScore;

/* Computes how probable a text is after </s>. For a translator the text is "source<TAB>target", and
 * the score is that of the target with its final </s>. options may be NULL. */
MEGA_API int mega_pipeline_score(MegaPipeline *pipeline, const MegaRaw *text,
                                 const MegaScoreOptions *options, MegaScore *out, MegaError *err);
MEGA_API void mega_score_free(MegaScore *score);
/* Allocates now what scoring needs, so that a lack of memory shows before the first text. */
MEGA_API int mega_pipeline_prepare_score(MegaPipeline *pipeline, MegaError *err);

typedef enum MegaVectorKind {
    MEGA_VECTOR_OWN,  /* the vector that a classifier's head sees; of a model that compares two
                         inputs, that of the input in the first place; for other models the mean */
    MEGA_VECTOR_MEAN, /* the mean over all positions of the last layer's states after the final
                         norm */
} MegaVectorKind;

typedef struct MegaEmbedding {
    float *values; /* [width] */
    int width;
    size_t positions; /* the number of positions that the input had */
} MegaEmbedding;

/* Computes the vector that a classifier, a translator's encoder or a language model makes of one
 * input. */
MEGA_API int mega_pipeline_embed(MegaPipeline *pipeline, const MegaRaw *input, MegaVectorKind kind,
                                 MegaEmbedding *out, MegaError *err);
MEGA_API void mega_embedding_free(MegaEmbedding *embedding);

/* ---- Masks, tags, answers and choices: models of the Hugging Face hub

   Texts must be UTF-8. Places in them are code points [start, end). */

/* A token for a mask. */
typedef struct MegaFilling {
    float score; /* its probability among all tokens */
    int32_t token;
    MegaText text;     /* of the token alone */
    MegaText sequence; /* the whole text with the token in place of the mask */
} MegaFilling;

typedef struct MegaFillings {
    MegaFilling *items; /* [masks][count], the best first */
    int masks, count;
} MegaFillings;

typedef struct MegaFillOptions {
    int top;                    /* at most how many tokens for each mask; 0: 5 */
    const char *const *targets; /* [target_count]: only these tokens, or the first tokens of these
                                   texts; none: all */
    int target_count;
} MegaFillOptions;

/* Fills the masks of a text, each on its own. options may be NULL. */
MEGA_API int mega_pipeline_fill(MegaPipeline *pipeline, const MegaRaw *text,
                                const MegaFillOptions *options, MegaFillings *out, MegaError *err);
MEGA_API void mega_fillings_free(MegaFillings *fillings);

typedef enum MegaGrouping {
    MEGA_GROUP_NONE,    /* a tag for each token */
    MEGA_GROUP_SIMPLE,  /* neighbouring tokens with the same label become a group */
    MEGA_GROUP_FIRST,   /* words do, which have the scores of their first token, */
    MEGA_GROUP_AVERAGE, /* the mean of their tokens' scores, */
    MEGA_GROUP_MAX,     /* or those of their surest token */
} MegaGrouping;

typedef struct MegaTag {
    int label;      /* number of the label */
    char name[256]; /* of the label; of a group without what stands before its first '-' */
    float score;    /* of a group the mean */
    size_t index;   /* position of the (first) token */
    MegaText word;  /* the token as it stands in the vocabulary, or the text of the group */
    uint32_t start, end;
} MegaTag;

typedef struct MegaTags {
    MegaTag *items; /* [count] */
    size_t count;
} MegaTags;

typedef struct MegaTagOptions {
    MegaGrouping grouping;
    bool keep_outside; /* also gives the tags named "O" */
} MegaTagOptions;

/* Tags a text. options may be NULL. */
MEGA_API int mega_pipeline_tag(MegaPipeline *pipeline, const MegaRaw *text,
                               const MegaTagOptions *options, MegaTags *out, MegaError *err);
MEGA_API void mega_tags_free(MegaTags *tags);

typedef struct MegaAnswer {
    float score;
    uint32_t start, end;
    MegaText text;
} MegaAnswer;

typedef struct MegaAnswers {
    MegaAnswer *items; /* [count], the best first */
    size_t count;
} MegaAnswers;

/* Start from mega_answer_defaults, which sets the value that stands first in each comment. */
typedef struct MegaAnswerOptions {
    int top;               /* 1: how many answers */
    int max_answer;        /* 15: tokens of an answer */
    size_t window, stride; /* 0: tokens of a window and of the overlap of two; 0 means 384, or what
                              the model takes at most, and half of it, at most 128 */
    bool allow_none;       /* false: no answer, which is an empty text, may be an answer */
    bool align;            /* true: an answer consists of whole words */
} MegaAnswerOptions;

MEGA_API MegaAnswerOptions mega_answer_defaults(void);
/* Finds the answers to a question in a text. options may be NULL. */
MEGA_API int mega_pipeline_answer(MegaPipeline *pipeline, const MegaRaw *question,
                                  const MegaRaw *context, const MegaAnswerOptions *options,
                                  MegaAnswers *out, MegaError *err);
MEGA_API void mega_answers_free(MegaAnswers *answers);

/* Computes how probable it is for each of the choices [count] that it goes with the prompt: scores
 * [count], which add up to 1. */
MEGA_API int mega_pipeline_choose(MegaPipeline *pipeline, const MegaRaw *prompt,
                                  const MegaRaw *choices, int count, float *scores, MegaError *err);

/* The states of a text's tokens, and the vector of the whole text. */
typedef struct MegaStates {
    float *values; /* [rows][width] */
    float *pooled; /* [width] */
    size_t rows;
    int width;
} MegaStates;

MEGA_API int mega_pipeline_states(MegaPipeline *pipeline, const MegaRaw *text, MegaStates *out,
                                  MegaError *err);
MEGA_API void mega_states_free(MegaStates *states);

/* ---- Tokens */

typedef enum MegaSide {
    MEGA_SIDE_INPUT,  /* the text that a classifier reads, or a translator's source */
    MEGA_SIDE_OUTPUT, /* a translator's target, or the only text of a language model */
} MegaSide;

typedef struct MegaIds {
    int32_t *ids; /* [count] */
    size_t count;
} MegaIds;

/* Makes the token ids of a text as the model reads it, with the special ones: </s> after a
 * translator's source and target, </s> or <s> before a language model's text, and for other models
 * those that the model file describes, such as <CLS> before a classifier's text. Of a translator's
 * empty source there are none; ids is NULL then. */
MEGA_API int mega_pipeline_tokenize(MegaPipeline *pipeline, MegaSide side, const MegaRaw *text,
                                    MegaIds *out, MegaError *err);
MEGA_API void mega_ids_free(MegaIds *tokens);
/* A token, and where it stands. */
typedef struct MegaPlace {
    int32_t id;
    int type;            /* of the token, for a model that reads types */
    int sequence;        /* the text that it stands in, 0 or 1; -1: a special one in neither */
    uint32_t start, end; /* code points of that text; both 0 for a special one */
} MegaPlace;

typedef struct MegaPlaces {
    MegaPlace *items; /* [count] */
    size_t count;
    bool has_places; /* false: the tokenizer changes the text, so start and end mean nothing */
    bool has_types;  /* the model reads the types */
} MegaPlaces;

/* Makes the tokens of a text, or of a pair if second is not NULL, with the special ones that
 * mega-run tokenize prints. */
MEGA_API int mega_pipeline_places(MegaPipeline *pipeline, MegaSide side, const MegaRaw *text,
                                  const MegaRaw *second, MegaPlaces *out, MegaError *err);
MEGA_API void mega_places_free(MegaPlaces *places);
/* Makes the text of token ids, without <s>, <pad> and </s>. */
MEGA_API int mega_pipeline_detokenize(const MegaPipeline *pipeline, MegaSide side,
                                      const int32_t *ids, size_t count, MegaText *out,
                                      MegaError *err);
/* Returns a symbol of the vocabulary, or NULL if there is no vocabulary or the id is not in it. */
MEGA_API const char *mega_pipeline_symbol(const MegaPipeline *pipeline, MegaSide side, int32_t id);

/* ---- Files of sound and pictures: libmega-media ---------------------------------------------- */

/* An opened recording. */
typedef struct MegaAudio MegaAudio;

/* Opens a path, or standard input for "-", for reading; the caller closes *fd. */
typedef int (*MegaOpenFile)(int *fd, const char *path, MegaError *err);

typedef struct MegaAudioOptions {
    int rate;           /* rate of the samples that read_sound gives, Hz */
    const MegaPcm *pcm; /* format of a file without a header; NULL: the file has one */
    bool partial;       /* accept a truncated recording as far as it goes */
    /* A pipeline that has read the beginning of a pipe, to see what it holds, sets this: the file
     * that it opens holds all that the pipe delivered. NULL: the path is opened as usual. */
    MegaOpenFile open_file;
} MegaAudioOptions;

typedef struct MegaImageOptions {
    bool keep_orientation; /* keep the picture as stored, ignoring its Exif orientation */
    uint64_t max_memory;   /* limit on the bytes of the file and of everything made from it; 0:
                              no limit */
    MegaOpenFile open_file; /* as in MegaAudioOptions */
} MegaImageOptions;

typedef struct MegaImage {
    int width, height;
    int channels;        /* 1 gray, 3 RGB */
    uint8_t *pixels;     /* [height][width][channels], allocated with malloc */
    uint64_t max_memory; /* copied from the options; later steps keep to it, too */
} MegaImage;

/* The functions that open files of sound and pictures for a pipeline. libmega has none of them, so
 * a program that brings its own samples and pixels needs no decoder. mega_media() returns those of
 * libmega-media; a program may fill in its own. Those of sound, or that of pictures, may be NULL:
 * such files are then refused. is_sound and sound_cut may be NULL in any case. */
struct MegaMedia {
    /* Returns whether a recording seems to begin within the first bytes of a file. */
    bool (*is_sound)(const void *bytes, size_t size);
    int (*open_sound)(MegaAudio **out, const char *path, const MegaAudioOptions *options,
                      MegaError *err);
    /* Reads the next mono samples in [-1, 1): at least one and at most capacity. At the end *count
     * is 0. */
    int (*read_sound)(MegaAudio *audio, float *samples, size_t capacity, size_t *count,
                      MegaError *err);
    /* Returns a sentence about a truncated recording, or NULL if the recording is complete. */
    const char *(*sound_cut)(const MegaAudio *audio);
    void (*close_sound)(MegaAudio *audio);
    int (*open_picture)(MegaImage *out, const char *path, const MegaImageOptions *options,
                        MegaError *err);
};

/* The one function of libmega-media; only programs that call it link the library (-lmega-media). It
 * reads WAV, FLAC, Ogg, MP3, AIFF, AU and more with libsndfile and libmpg123, and PNG, JPEG and
 * BMP. */
MEGA_MEDIA_API const MegaMedia *mega_media(void);

#ifdef __cplusplus
}
#endif

#endif
