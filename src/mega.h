/*
 * mega.h - the public interface of libmega, an inference engine for MEGA sequence models
 * ("Moving Average Equipped Gated Attention", arXiv 2209.10655).
 *
 * Most programs need two objects:
 *
 *   MegaModel     what a .mega file holds
 *   MegaPipeline  sound, pictures or text in; labels, translations, texts, scores or embeddings out
 *
 * A pipeline is built on three others, listed in the order in which a program makes them:
 *
 *   MegaModel    weights and configuration, read from a .mega file. It is immutable after loading,
 *                so any number of threads and sessions may share it. Free it after its sessions.
 *   MegaSession  the mutable side: an arena, a plan and worker threads. Each calling thread needs
 *                a session of its own.
 *   MegaInput    a view of the caller's data: token ids, real numbers, or an image.
 *
 * Models that make text have two more, MegaEncoded and MegaDecoder, and the searches built on them.
 *
 *       MegaError err = {0};
 *       MegaModel *model = NULL;
 *       MegaSession *session = NULL;
 *       if (mega_model_open(&model, "speech.mega", &err) ||
 *           mega_session_new(&session, model, NULL, &err) ||
 *           mega_session_classify(session, &input, 1, logits, &err))
 *           fprintf(stderr, "%s\n", err.text);
 *       mega_session_free(session);
 *       mega_model_free(model);
 *
 * Fallible functions return 0 or a negative MEGA_ERR_* code and put one sentence with its context
 * into the caller's MegaError (which may be NULL). The library prints nothing and never exits.
 * Every *_free accepts NULL.
 */
#ifndef MEGA_H
#define MEGA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MEGA_API __attribute__((visibility("default")))
#define MEGA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define MEGA_API
#define MEGA_PRINTF(fmt, args)
#endif
#define MEGA_MEDIA_API MEGA_API /* a function of libmega-media */

#define MEGA_VERSION "0.1.0"

/* The numbers are part of the interface: they never change, and new ones are added at the end. */
typedef enum MegaErrorCode {
    MEGA_OK = 0,
    MEGA_ERR_IO = -1,          /* the system could not open, read, map or write */
    MEGA_ERR_FORMAT = -2,      /* bytes that are not what they claim: corrupt, truncated, hostile */
    MEGA_ERR_UNSUPPORTED = -3, /* well formed, but a version, kind or option that is not handled */
    MEGA_ERR_MODEL = -4,       /* configuration and tensors do not fit each other */
    MEGA_ERR_INPUT = -5,       /* an input that this model cannot take */
    MEGA_ERR_LIMIT = -6,       /* larger than a documented limit */
    MEGA_ERR_MEMORY = -7,      /* allocation failed */
    MEGA_ERR_ARGUMENT = -8,    /* a wrong argument of the caller */
} MegaErrorCode;

typedef struct MegaError {
    int code;       /* 0 or MEGA_ERR_* */
    char text[512]; /* one sentence without a final newline */
} MegaError;

/* A constant such as "MEGA_ERR_FORMAT"; never NULL. */
MEGA_API const char *mega_error_name(int code);

/* Fills *err (if not NULL) and returns code, so that `return mega_fail(err, CODE, "...", ...)`
 * reads well. A later call overwrites an earlier one. */
MEGA_API int mega_fail(MegaError *err, int code, const char *format, ...) MEGA_PRINTF(3, 4);

MEGA_API const char *mega_version(void); /* "0.1.0" */

/* ---- Models --------------------------------------------------------------------------------- */

typedef struct MegaModel MegaModel;

/* Maps and checks the file, then binds its tensors. On success *out owns the mapping. */
MEGA_API int mega_model_open(MegaModel **out, const char *path, MegaError *err);

typedef struct MegaModelOptions {
    uint64_t max_memory; /* limit on the bytes of the model, of loading it, and of an input whose
                            size the model states; beyond it the error is MEGA_ERR_LIMIT. 0: the
                            limit is 256 MiB plus 64 times the size of the file, which only a
                            hostile file exceeds */
} MegaModelOptions;

/* Does the same as mega_model_open with options, which may be NULL. */
MEGA_API int mega_model_open_with(MegaModel **out, const char *path,
                                  const MegaModelOptions *options, MegaError *err);
/* Does the same for a file in memory. `bytes` must outlive the model, which only reads them. */
MEGA_API int mega_model_from_memory(MegaModel **out, const void *bytes, size_t size,
                                    MegaError *err);
MEGA_API void mega_model_free(MegaModel *model);

typedef enum MegaInputKind {
    MEGA_INPUT_TOKENS = 1,  /* token ids */
    MEGA_INPUT_SAMPLES = 2, /* real numbers in time: audio samples or pixels read row by row */
    MEGA_INPUT_IMAGE = 3,   /* channels x height x width */
} MegaInputKind;

typedef enum MegaTask {
    MEGA_TASK_CLASSIFY,  /* logits of classes */
    MEGA_TASK_TRANSLATE, /* a target sequence from a source sequence */
    MEGA_TASK_GENERATE,  /* a language model: the next token from those before */
    MEGA_TASK_FILL,      /* logits of the vocabulary at every position: a masked language model */
    MEGA_TASK_TAG,       /* logits of labels at every position */
    MEGA_TASK_ANSWER,    /* logits of where an answer begins and ends, at every position */
    MEGA_TASK_CHOOSE,    /* one logit: how well the second text goes with the first */
    MEGA_TASK_EMBED,     /* a vector, and the states of every position */
} MegaTask;
#define MEGA_TASK_COUNT (MEGA_TASK_EMBED + 1)

MEGA_API MegaTask mega_model_task(const MegaModel *model);
MEGA_API MegaInputKind mega_model_input_kind(const MegaModel *model);
MEGA_API int mega_model_input_count(const MegaModel *model); /* 2 for a pair model, else 1 */
MEGA_API int mega_model_class_count(const MegaModel *model); /* length of the logits */
MEGA_API const char *mega_model_label(const MegaModel *model, int index); /* NULL if unnamed */
MEGA_API int mega_model_width(const MegaModel *model);      /* of the states of a position */
MEGA_API int mega_model_vocab_size(const MegaModel *model); /* of the decoder, 0 without one */
/* Returns whether a full pass of the original truncates the decoder's EMA, which is what
 * MegaDecoderOptions.truncate should then say. */
MEGA_API bool mega_model_truncates(const MegaModel *model);
/* Returns the number of parameters; a table that is used twice counts once. */
MEGA_API uint64_t mega_model_parameter_count(const MegaModel *model);
/* Returns the bytes of all weights, decoded or used in place. */
MEGA_API uint64_t mega_model_memory(const MegaModel *model);

/* ---- Sessions ------------------------------------------------------------------------------- */

typedef struct MegaSession MegaSession;

typedef struct MegaSessionOptions {
    int threads;     /* worker threads, including the caller; 0: as many as the CPU affinity and the
                        quota of the control group allow */
    const char *cpu; /* kernels: "generic", "avx2", "avx2vnni", "avx512", "avx512vnni", "dotprod"
                        or "openblas", which is then loaded; NULL: the best for this machine */
    uint64_t max_memory; /* limit on the bytes of the model, the session and all that is made with
                            it; 0: no limit. A call that needs more is refused before it begins,
                            with MEGA_ERR_LIMIT */
    double rate; /* of an S4 model: 2 says that an input holds every second position of what the
                    model was trained on. 0 is 1, the only rate of other models */
    /* A model with chunks takes an input that is too long for max_memory, or for the system, in
     * pieces, with the same result. If even its states [length][width] are too large, they go to a
     * file without a name in this folder; NULL: such an input is refused. */
    const char *spill;
} MegaSessionOptions;

/* Makes a session. options may be NULL. Results do not depend on the number of threads. After
 * fork(), the child may use and free its parent's objects if no call was running; it then computes
 * in the calling thread alone. */
MEGA_API int mega_session_new(MegaSession **out, const MegaModel *model,
                              const MegaSessionOptions *options, MegaError *err);
MEGA_API void mega_session_free(MegaSession *session);

typedef struct MegaInput {
    MegaInputKind kind;
    const int32_t *tokens; /* [length] for MEGA_INPUT_TOKENS: used as they are, nothing appended */
    const float *values;   /* [length] normalised samples, or [channels][height][width] pixels */
    size_t length;         /* tokens or samples; channels*height*width for an image */
    int channels, height, width; /* of an image; all 0: those that the model takes */
    const int32_t *types; /* [length] of tokens, if the model has token types; NULL: all are 0 */
} MegaInput;

/* Computes logits [class count], before softmax (MODEL.md, "Heads"). inputs holds
 * mega_model_input_count() of them. A model of MEGA_TASK_EMBED has no classes, and gives the pooled
 * vector [mega_model_width()]. */
MEGA_API int mega_session_classify(MegaSession *session, const MegaInput *inputs, int count,
                                   float *logits, MegaError *err);

/* Computes logits [count][class count] at `count` positions of a sequence of tokens, for a model
 * that has them at every position: one that fills masks, tags, or answers. With positions NULL they
 * are those of all positions, and count is the length. */
MEGA_API int mega_session_label(MegaSession *session, const MegaInput *input,
                                const size_t *positions, size_t count, float *logits,
                                MegaError *err);

/* p_i = exp(logits_i - max) / sum; p may be logits. */
MEGA_API void mega_softmax(const float *logits, int count, float *probabilities);

/* ---- Decoding: translators and language models ---------------------------------------------- */

/* An encoded source sequence: the encoder's states, and the keys and values that every decoder
 * layer makes of them. It is immutable, and any number of decoders of the same model may read it at
 * once. */
typedef struct MegaEncoded MegaEncoded;

/* Encodes the source's token ids, which end in </s>. Free *out after the decoders that read it. */
MEGA_API int mega_session_encode(MegaSession *session, const MegaInput *input, MegaEncoded **out,
                                 MegaError *err);
MEGA_API void mega_encoded_free(MegaEncoded *encoded);
MEGA_API size_t mega_encoded_length(const MegaEncoded *encoded); /* S, with </s> */
/* Returns the states [S][d] after the final norm. */
MEGA_API const float *mega_encoded_states(const MegaEncoded *encoded);

/*
 * The state of sequences that are being decoded: EMA states, and keys and values of the current
 * chunk. All sequences are at the same position. With chunks, the size does not depend on how
 * much has been read. A decoder borrows the session's threads and memory. The session may serve
 * other decoders in between, but only one call at a time.
 */
typedef struct MegaDecoder MegaDecoder;

typedef struct MegaDecoderOptions {
    int sequences; /* at most this many side by side; 0: one */
    int chunk;     /* 0: the model's; -1: none; else another size, for a rotary bias only */
    /* True if the EMA truncates as the model's configuration says. The original does that in full
     * passes, but not in its generator and evaluator (MODEL.md, "Moving average"). */
    bool truncate;
    /* 0 makes all logits exact. Otherwise only that many of the largest ones of each sequence are,
     * and others may be -INFINITY: an adaptive softmax then skips tail clusters that hold none of
     * them. mega_sampling_best tells how many a draw needs. */
    int exact_top;
} MegaDecoderOptions;

/* Makes a decoder. options may be NULL. */
MEGA_API int mega_decoder_new(MegaDecoder **out, MegaSession *session,
                              const MegaDecoderOptions *options, MegaError *err);
MEGA_API void mega_decoder_free(MegaDecoder *decoder);

/* Starts `count` sequences at position 0. A translator's sequence i reads sources[i], which must
 * outlive the decoding; for a language model sources is NULL. */
MEGA_API int mega_decoder_begin(MegaDecoder *decoder, const MegaEncoded *const *sources, int count,
                                MegaError *err);
/* Reads one token of each live sequence: tokens [live], logits [live][vocab]. A model with adaptive
 * softmax gives log-probabilities. */
MEGA_API int mega_decoder_step(MegaDecoder *decoder, const int32_t *tokens, float *logits,
                               MegaError *err);
/* Reads many tokens of the only live sequence, with the same results as that many steps. logits is
 * [count][vocab], or NULL if they are not wanted. */
MEGA_API int mega_decoder_feed(MegaDecoder *decoder, const int32_t *tokens, size_t count,
                               float *logits, MegaError *err);
/* Does the same, but gives only the log-probabilities [count] of the tokens `targets`. An adaptive
 * softmax computes no more than these need. */
MEGA_API int mega_decoder_score(MegaDecoder *decoder, const int32_t *tokens, const int32_t *targets,
                                size_t count, float *logprobs, MegaError *err);
/* Replaces the live sequences by `count` new ones; number i continues the former number parents[i].
 * It costs almost nothing, since states move only when they are next written. */
MEGA_API int mega_decoder_select(MegaDecoder *decoder, const int *parents, int count,
                                 MegaError *err);
MEGA_API int mega_decoder_live(const MegaDecoder *decoder);
MEGA_API int64_t mega_decoder_position(const MegaDecoder *decoder); /* tokens read so far */
/* Returns how live sequence `sequence` attends to its source in the last layer's cross attention,
 * for the last step or the last token fed; NULL if memory ran out. It is valid until the next
 * call. */
MEGA_API const float *mega_decoder_attention(const MegaDecoder *decoder, int sequence);
/* Returns the bytes of all states. */
MEGA_API size_t mega_decoder_memory(const MegaDecoder *decoder);

/* log p_i = x_i - log sum_j exp x_j, computed in double; log p may be x. */
MEGA_API void mega_log_softmax(const float *logits, int count, float *logprobs);

/* ---- Translating ---------------------------------------------------------------------------- */

/* Options of the original's beam search (MODEL.md, "Sequences, inputs and search"). Start from
 * mega_search_defaults, which sets the value that stands first in each comment. */
typedef struct MegaSearchOptions {
    int beam;              /* 5 */
    double length_penalty; /* 1: score = sum / length ^ penalty */
    double max_len_a;      /* 0: the limit is max_len_a * source length + max_len_b tokens */
    int max_len_b;         /* 200 */
    int min_len;           /* 1: </s> is barred before that many tokens */
    int no_repeat_ngram;   /* 0: off; otherwise no n-gram of this length appears twice */
    double unk_penalty;    /* 0: subtracted from the log-probability of <unk> */
    double temperature;    /* 1: logits are divided by it */
    bool unnormalized;     /* the score is the sum, not divided by a power of the length */
    const int32_t *prefix; /* tokens that every result begins with, up to its limit */
    size_t prefix_length;
    bool alignments; /* keep the cross attention */
} MegaSearchOptions;

MEGA_API MegaSearchOptions mega_search_defaults(void);

typedef struct MegaHypothesis {
    int32_t *tokens;  /* [length], with the final </s> */
    float *scores;    /* [length] log-probabilities */
    float *attention; /* [length][source length] of the last layer, or NULL */
    size_t length;
    double score;
    char *text; /* of text_size bytes and a NUL, from mega_pipeline_translate; else NULL */
    size_t text_size;
} MegaHypothesis;

/* The hypotheses that the search found for one source, at most `beam`, best first. */
typedef struct MegaTranslation {
    MegaHypothesis *hypotheses; /* [count] */
    int count;
    size_t source_length;
    int32_t *source; /* [source_length] token ids, from mega_pipeline_translate; else NULL */
} MegaTranslation;

/* Translates `count` sources together; each gets the result that it would get alone. Fills out
 * [count], each of which mega_translation_free frees; after an error they hold nothing. */
MEGA_API int mega_session_translate(MegaSession *session, const MegaInput *sources, int count,
                                    const MegaSearchOptions *options, MegaTranslation *out,
                                    MegaError *err);
MEGA_API void mega_translation_free(MegaTranslation *translation);

/* ---- Sampling ------------------------------------------------------------------------------- */

/* How the next token is drawn: repetition penalty, temperature, top-k and top-p apply in this
 * order. Start from mega_sampling_defaults, which sets the value that stands first in each
 * comment. */
typedef struct MegaSamplingOptions {
    bool greedy;        /* false; true takes the most probable token and draws nothing */
    double temperature; /* 1: logits are divided by it */
    int top_k;          /* 0: off; otherwise only the k most probable tokens may be drawn */
    /* 1: off; otherwise only the most probable tokens, which together have this probability */
    double top_p;
    /* 1: off; otherwise positive logits of tokens that were read or made are divided by it, and
     * negative ones are multiplied by it */
    double repetition_penalty;
    uint64_t seed; /* 0 */
} MegaSamplingOptions;

MEGA_API MegaSamplingOptions mega_sampling_defaults(void);
/* Returns how many of the largest logits a draw may need, for MegaDecoderOptions; 0 means all. */
MEGA_API int mega_sampling_best(const MegaSamplingOptions *options);

/* Draws with xoshiro256**: the same seed gives the same tokens on every machine whose logits are
 * equal. */
typedef struct MegaSampler MegaSampler;

MEGA_API int mega_sampler_new(MegaSampler **out, const MegaModel *model,
                              const MegaSamplingOptions *options, MegaError *err);
MEGA_API void mega_sampler_free(MegaSampler *sampler);
/* Notes a token that was read, such as one of the prompt. The sampler notes drawn tokens itself. */
MEGA_API void mega_sampler_note(MegaSampler *sampler, int32_t token);
/* Draws from logits, or log-probabilities, [vocab]. <pad> and tokens whose logit is NaN are never
 * drawn. Returns -1 if the logits leave nothing to draw, as those of a damaged model may. */
MEGA_API int32_t mega_sampler_next(MegaSampler *sampler, const float *logits);

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

/* How samples are laid out in bytes: frame after frame, where a frame has one sample per
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

/* An input as a program has it. The library only reads it, and no longer needs it after the
 * call. */
typedef struct MegaRaw {
    MegaRawKind kind;
    const void *data; /* text, samples, pixels, or a path that ends with NUL */
    size_t size;      /* bytes of data; 0 for a path */
    MegaPcm pcm;
    int width, height, channels; /* the size of pixels; channels is 1 for gray and 3 for RGB */
    const char *name;            /* begins messages; NULL: "the text" or the like */
} MegaRaw;

typedef struct MegaMedia MegaMedia;

/* Every field may be zero, which gives the usual behaviour. */
typedef struct MegaPipelineOptions {
    MegaSessionOptions session; /* max_memory also limits the samples or pixels of an input */
    const MegaMedia *media;     /* opens files of sound and pictures, such as mega_media(); with
                                   NULL, a path to such a file is an error */
    void (*warn)(void *context, const char *sentence); /* is told about inputs that are accepted
                                                          although something is wrong with them;
                                                          may be NULL */
    void *warn_context;
    bool ids;              /* texts hold decimal token ids, which are used unchanged */
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
 * are already prepared for the model. */
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
 * not change before the end. */
MEGA_API int mega_pipeline_begin(MegaPipeline *pipeline, const MegaRaw *inputs, int count,
                                 MegaError *err);
MEGA_API int mega_pipeline_next(MegaPipeline *pipeline, MegaClassification *out, MegaError *err);
MEGA_API void mega_classification_free(MegaClassification *classification);
/* Returns the length of the model's clips in seconds, or 0 if they have any length or the model
 * does not take sound. */
MEGA_API double mega_pipeline_clip(const MegaPipeline *pipeline);
/* Returns the rate of the model's samples in Hz, or 0 if the model does not take sound. */
MEGA_API int mega_pipeline_rate(const MegaPipeline *pipeline);
/* Reads a recording whose clip is_cut to its end and returns its length in seconds, or 0 if that is
 * not known. The length of a pipe never is. */
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
 * have their text, and an empty text has no hypothesis. Fills out [count], each of which
 * mega_translation_free frees. If errors [count] is not NULL, a text that cannot be translated
 * leaves its error there and does not stop the others. Returns 0, or the first error. options may
 * be NULL. */
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
 * was read. Returns whether generation goes on. */
typedef bool (*MegaTextSink)(void *context, int sample, int32_t token, const char *bytes,
                             size_t size);

/* Start from mega_generate_defaults, which sets the value that stands first in each comment. */
typedef struct MegaGenerateOptions {
    MegaSamplingOptions sampling; /* sample i is drawn with seed + i */
    int max_tokens;               /* 256 */
    int samples;                  /* 1: the number of texts made side by side */
    bool ignore_eos;              /* does not end at </s> */
    const char *const *stops;     /* [stop_count]: the text ends before the first of these
                                     strings */
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
    MEGA_VECTOR_OWN,  /* the vector that a classifier's head sees; for other models the mean */
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
    int top;                    /* how many tokens for each mask; 0: 5 */
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

/* Makes the token ids of a text as the model reads it, with the special ones: <CLS> before a
 * classifier's text, </s> after a translator's source and before a language model's text. */
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

typedef struct MegaAudioOptions {
    int rate;           /* rate of the samples that read_sound gives, Hz */
    const MegaPcm *pcm; /* format of a file without a header; NULL: the file has one */
    bool partial;       /* accept a truncated recording as far as it goes */
} MegaAudioOptions;

typedef struct MegaImageOptions {
    bool keep_orientation; /* keep the picture as stored, ignoring its Exif orientation */
    uint64_t max_memory;   /* limit on the bytes of the file and of everything made from it; 0:
                              no limit */
} MegaImageOptions;

typedef struct MegaImage {
    int width, height;
    int channels;        /* 1 gray, 3 RGB */
    uint8_t *pixels;     /* [height][width][channels], allocated with malloc */
    uint64_t max_memory; /* copied from the options; later steps keep to it, too */
} MegaImage;

/* The functions that open files of sound and pictures for a pipeline. libmega has none of them, so
 * a program that brings its own samples and pixels needs no decoder. mega_media() returns those of
 * libmega-media; a program may fill in its own. */
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

/* ---- Looking inside ------------------------------------------------------------------------- */

/*
 * A tap receives intermediate results while a session runs, to get embeddings or to check a
 * conversion. data is row-major [rows][columns] and valid during the call only; input counts from
 * 0. The stages in order, with their columns (d, h, z as in the paper; I = 0 ... layers - 1):
 *   embed (d)                      after the embedding and its norm
 *   layer.I.ema (d)                silu(EMA(x) + omega x)
 *   layer.I.v (h) .z (z) .q (z) .k (z)
 *   layer.I (d)                    after the gated attention and the feed-forward block
 *   An S4 layer has .kernel (a row for each row of C and feature, a column for each lag), .ssm (the
 *   convolution, channels times d), .act (behind its activation) and .block (d, before it is added)
 *   in place of .ema to .k. Step by step there is no .kernel.
 *   A Transformer layer has .q, .k and .v (d), .attn (if asked for: mega_session_tap_attention),
 *   .attn_out (d), .ffn_in and .ffn_out (d); in a translator's decoder also .cross_q, .cross_k,
 *   .cross_v, .cross_attn and .cross_attn_out.
 *   final (d)                      after the final norm, where there is one
 *   pooled (d)                     one row per input
 *   logits                         one row
 * A decoder reports each step or block of a chunk; its rows are sequences or positions:
 *   target (d)                     after the embedding and its norm
 *   decoder.layer.I.ema, .v, .z, .q, .k, then decoder.layer.I.cross (d), decoder.layer.I (d)
 *   decoder.final (d)
 */
typedef void (*MegaTap)(void *context, const char *stage, int input, const float *data, size_t rows,
                        size_t columns);
MEGA_API void mega_session_set_tap(MegaSession *session, MegaTap tap, void *context);
/* Says whether the session's taps want the attention weights of Transformer layers as well, which
 * take long for long inputs. Each comes in parts: the stage's rows are those of the first head,
 * then of the next, for some consecutive positions, and its columns are the keys. A row of a
 * decoder has zeros for the positions behind its own. Call it before a decoder is made. */
MEGA_API void mega_session_tap_attention(MegaSession *session, bool wanted);

/* Returns the bytes of the arena, which holds all working memory of the session that grows with the
 * input. */
MEGA_API size_t mega_session_memory(const MegaSession *session);

#ifdef __cplusplus
}
#endif
#endif
