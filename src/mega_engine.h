/*
 * mega_engine.h - models, sessions and decoders: the part of libmega's public interface that takes
 * token ids and normalised samples. mega.h, which includes it, has the rest.
 *
 * A program that prepares its inputs itself makes three objects, in this order:
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
 * mega.h says what holds of errors and of *_free.
 */
#ifndef MEGA_ENGINE_H
#define MEGA_ENGINE_H

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
/* Returns the length of the logits: the vocabulary of a model that fills masks, and 0 for models
 * that translate, generate or embed. */
MEGA_API int mega_model_class_count(const MegaModel *model);
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
    const char *cpu; /* kernels: "generic", "avx2", "avx2vnni", "avx512", "avx512vnni", "amx",
                        "dotprod", "simd128" or "openblas", which is then loaded; NULL: the best
                        for this machine, which "amx" never is. With "amx", a process asks the
                        system for the processor's tiles */
    uint64_t max_memory; /* limit on the bytes of the model, the session and all that is made with
                            it; 0: no limit. A call that needs more is refused before it begins,
                            with MEGA_ERR_LIMIT */
    double rate; /* of an S4 model: 2 says that an input holds every second position of what the
                    model was trained on. 0 is 1, the only rate of other models */
    /* A model with chunks takes an input that is too long for max_memory, or for the system, in
     * pieces, with the same result. If even its states [length][width] are too large, they go to a
     * file without a name in this folder; NULL: such an input is refused. */
    const char *spill;
    const char *precision; /* of products of floats: "f32", or "bf16", which rounds their factors to
                              8 bits, is faster, and refused by kernels that do not have it; NULL:
                              "f32" */
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

/* Does what mega_session_classify does with one input, but takes it through the model in pieces of
 * at most `piece` positions, or of one chunk if that is longer; taps see each stage piece by piece.
 * There are two ways, and src/encode/pieces.c says how they go. Layers that keep a state and do not
 * look ahead (S4) take one piece after the other through the whole stack; lags are not cut off as
 * in a full pass. Layers that attend in chunks (MEGA) each take all pieces in turn, with the bits
 * of a whole input whose moving average is a recurrence. Other layers are refused. */
MEGA_API int mega_session_classify_pieces(MegaSession *session, const MegaInput *input,
                                          size_t piece, float *logits, MegaError *err);

/* Computes logits [count][class count] at `count` positions of a sequence of tokens, for a model
 * that has them at every position: one that fills masks, tags, or answers. With positions NULL they
 * are those of all positions, and count is the length. */
MEGA_API int mega_session_label(MegaSession *session, const MegaInput *input,
                                const size_t *positions, size_t count, float *logits,
                                MegaError *err);

/* p_i = exp(logits_i - max) / sum; p may be logits. They must be finite or -INFINITY, and not all
 * of them -INFINITY: otherwise every p is NaN. */
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
    /* True if the EMA truncates as the model's configuration says, for one sequence at a time. The
     * original does that in full passes, but not in its generator and evaluator (MODEL.md, "Moving
     * average"). */
    bool truncate;
    /* 0 makes all logits exact. Otherwise only that many of the largest ones of each sequence are,
     * and others may be -INFINITY: an adaptive softmax then skips tail clusters that hold none of
     * them. mega_sampling_exact_top tells how many a draw needs. */
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
/* Reads one token of each live sequence: tokens [live], logits [live][vocab], where vocab is
 * mega_model_vocab_size. The first token of a translation is </s>, which also ends its source; a
 * language model reads what mega_pipeline_tokenize gives. A model with adaptive softmax gives
 * log-probabilities. After MEGA_ERR_ARGUMENT, or MEGA_ERR_INPUT for a token or too many of them,
 * the decoder is as it was before; after another error, begin anew. */
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
 * [source length], for the last step or the last token fed. Returns NULL if there is no such
 * sequence, nothing was read since mega_decoder_begin, the model is no translator, or memory ran
 * out. It is valid until the next call, also of mega_decoder_select. */
MEGA_API const float *mega_decoder_attention(const MegaDecoder *decoder, int sequence);
/* Returns the bytes of all states. */
MEGA_API size_t mega_decoder_memory(const MegaDecoder *decoder);

/* log p_i = x_i - log sum_j exp x_j, computed in double; log p may be x. What holds of the numbers
 * that mega_softmax takes holds here, too. */
MEGA_API void mega_log_softmax(const float *logits, int count, float *logprobs);

/* ---- Translating ---------------------------------------------------------------------------- */

/* Options of the original's beam search (MODEL.md, "Sequences, inputs and search"). Start from
 * mega_search_defaults, which sets the value that stands first in each comment. */
typedef struct MegaSearchOptions {
    int beam;              /* 5 */
    double length_penalty; /* 1: score = sum / length ^ penalty */
    double max_len_a;      /* 0: the limit is max_len_a * source length + max_len_b tokens before
                              </s>, and what the model was made for */
    int max_len_b;         /* 200 */
    int min_len;           /* 1: </s> is barred before that many tokens */
    int no_repeat_ngram;   /* 0: off; from 2 on: no n-gram of this length appears twice. The </s>
                              that begins every hypothesis counts, so with 1 none could end */
    double unk_penalty;    /* 0: subtracted from the log-probability of <unk> */
    double temperature;    /* 1: logits are divided by it */
    bool unnormalized;     /* the score is the sum, not divided by a power of the length */
    const int32_t *prefix; /* tokens that every result begins with, at most as many as the limit */
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

/* Says how the next token is drawn: repetition penalty, the other penalties, temperature, top-k and
 * top-p apply in this order. Start from mega_sampling_defaults, which sets the value that stands
 * first in each comment. */
typedef struct MegaSamplingOptions {
    bool greedy;        /* false; true takes the most probable token and draws nothing */
    double temperature; /* 1: logits are divided by it */
    int top_k;          /* 0: off; otherwise only the k most probable tokens may be drawn */
    /* 1: off; otherwise only the most probable tokens, which together have this probability */
    double top_p;
    /* 1: off; otherwise positive logits of tokens that were read or made are divided by it, and
     * negative ones are multiplied by it */
    double repetition_penalty;
    /* 0: off; otherwise taken from the logit of a token that was drawn, once, and once for each
     * time it was drawn, as the OpenAI interface has them */
    double presence_penalty, frequency_penalty;
    uint64_t seed; /* 0 */
} MegaSamplingOptions;

MEGA_API MegaSamplingOptions mega_sampling_defaults(void);
/* Returns how many of the largest logits a draw may need, for MegaDecoderOptions; 0 means all. */
MEGA_API int mega_sampling_exact_top(const MegaSamplingOptions *options);

/* Draws with xoshiro256**: the same seed gives the same tokens on every machine whose logits are
 * equal. */
typedef struct MegaSampler MegaSampler;

MEGA_API int mega_sampler_new(MegaSampler **out, const MegaModel *model,
                              const MegaSamplingOptions *options, MegaError *err);
MEGA_API void mega_sampler_free(MegaSampler *sampler);
/* Notes a token that was read, such as one of the prompt. The sampler notes drawn tokens itself. */
MEGA_API void mega_sampler_note(MegaSampler *sampler, int32_t token);
/* Draws from logits, or log-probabilities, [vocab]. <pad> and tokens whose logit is NaN are never
 * drawn. Returns -1 if the logits leave nothing to draw or one is +INFINITY, as those of a damaged
 * model may. */
MEGA_API int32_t mega_sampler_next(MegaSampler *sampler, const float *logits);

/* ---- Looking inside ------------------------------------------------------------------------- */

/*
 * A tap receives intermediate results while a session runs, to get embeddings or to check a
 * conversion. data is row-major [rows][columns] and valid during the call only; input counts from
 * 0. The stages in order, with their columns (d, h, z as in the paper; I = 0 ... layers - 1):
 *   positions (d)                  what a Transformer's embedding adds, one row per position
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
 *   logits                         one row, or one for each position that mega_session_label was
 *                                  asked for; a model of MEGA_TASK_EMBED gives its states (d) as
 *                                  logits, one row per position, and then pooled
 * A decoder reports each step or block of a chunk; its rows are sequences or positions:
 *   target.positions (d), target (d)   as positions and embed
 *   decoder.layer.I.ema, .v, .z, .q, .k, then decoder.layer.I.cross (d), decoder.layer.I (d)
 *   decoder.final (d)
 *   decoder.features               what the logits are made of, if a projection makes it
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
