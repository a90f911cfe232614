/*
 * test_convert.c - runs mega-convert on the committed fixtures: translators and language models
 * unchanged, with shared tables under one of their names, and all kinds with every fault that a
 * conversion must notice. A spoilt fixture is rewritten as safetensors, its arguments as JSON.
 */
#include "tests/unit/support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/base/bytes.h"
#include "formats/checkpoint/checkpoint.h"

#define TRANSLATOR "mt_small_chunk16"
#define PLAIN "lm_trunc_nochunk_small"
#define ADAPTIVE "lm_adaptive_small"
#define TEXT "unit_cls"
#define PIXELS "unit_syncbatchnorm_image"
#define PRE_NORM "unit_scalenorm_prenorm"
#define XFM "xfm_mt_learned_mixed"
#define PATCHES "image_small_linear"
#define MAX_CHANGES 4

/* A change to the tensors of this name or, if it ends with '*', to all that begin with it. */
typedef struct Change {
    const char *tensor;
    int axis, size;   /* this dimension gets the given size, padded by repetition; axis may be
                         one more than there are; size 0: the tensor is removed */
    const char *name; /* new name of the tensor; NULL: its own */
} Change;

typedef struct Spoilt {
    const char *fixture;
    Change changes[MAX_CHANGES];
    const char *arguments; /* JSON that overrides the arguments of the fixture */
    const char *absent;    /* an argument that is removed */
} Spoilt;

static char folder[] = "/tmp/mega-test-convert-XXXXXX";

static const char *path(const char *name)
{
    static char paths[4][128];
    static int turn;
    char *text = paths[turn++ % 4];
    snprintf(text, sizeof paths[0], "%s/%s", folder, name);
    return text;
}

static void write_file(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static MegaBuffer read_file(const char *name)
{
    MegaBuffer bytes = {0};
    FILE *file = fopen(path(name), "rb");
    assert_non_null(file);
    for (int c; (c = fgetc(file)) != EOF;)
        mega_put_u8(&bytes, (uint8_t)c);
    fclose(file);
    assert_false(bytes.failed);
    return bytes;
}

/* ---- Spoiling ------------------------------------------------------------------------------- */

static const Change *change_of(const Spoilt *spoilt, const char *name)
{
    for (int i = 0; i < MAX_CHANGES && spoilt->changes[i].tensor; i++) {
        const char *wanted = spoilt->changes[i].tensor, *star = strchr(wanted, '*');
        if (star ? strncmp(name, wanted, (size_t)(star - wanted)) == 0 : strcmp(name, wanted) == 0)
            return &spoilt->changes[i];
    }
    return NULL;
}

/* Appends a tensor to the header and its numbers to the data. */
static void put_tensor(const MegaCheckpointTensor *tensor, const Change *change, json_t *header,
                       MegaBuffer *data)
{
    float *values = calloc(tensor->elements, sizeof *values);
    size_t count = 1, begin = data->size;
    json_t *shape = json_array();
    assert_non_null(values);
    mega_checkpoint_read_f32(tensor, values);
    for (int axis = 0; axis < tensor->rank || (change && axis == change->axis); axis++) {
        size_t size = change && change->axis == axis ? (size_t)change->size : tensor->shape[axis];
        json_array_append_new(shape, json_integer((json_int_t)size));
        count *= size;
    }
    for (size_t i = 0; i < count; i++)
        mega_put_bytes(data, &values[i % tensor->elements], sizeof *values);
    json_object_set_new(header, change && change->name ? change->name : tensor->name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape,
                                  "data_offsets", (json_int_t)begin, (json_int_t)data->size));
    free(values);
}

static void write_tensors(const Spoilt *spoilt)
{
    char checkpoint_path[256];
    MegaCheckpoint *checkpoint;
    MegaBuffer data = {0}, file = {0};
    MegaError err = {0};
    json_t *header = json_object();
    snprintf(checkpoint_path, sizeof checkpoint_path, "tests/fixtures/%s/checkpoint.pt%s",
             spoilt->fixture, strcmp(spoilt->fixture, PATCHES) == 0 ? "h" : "");
    if (mega_checkpoint_open(&checkpoint, checkpoint_path, &(MegaCheckpointOptions){0}, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < mega_checkpoint_count(checkpoint); i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        const Change *change = change_of(spoilt, tensor->name);
        if (!change || change->size)
            put_tensor(tensor, change, header, &data);
    }
    mega_checkpoint_close(checkpoint);
    char *text = json_dumps(header, JSON_COMPACT);
    assert_non_null(text);
    mega_put_u64(&file, strlen(text));
    mega_put_bytes(&file, text, strlen(text));
    mega_put_bytes(&file, data.data, data.size);
    assert_false(file.failed);
    write_file("checkpoint.safetensors", file.data, file.size);
    free(text);
    json_decref(header);
    mega_buffer_free(&data);
    mega_buffer_free(&file);
}

static void write_arguments(const Spoilt *spoilt)
{
    char meta_path[256];
    snprintf(meta_path, sizeof meta_path, "tests/fixtures/%s/meta.json", spoilt->fixture);
    json_t *meta = json_load_file(meta_path, 0, NULL), *args = json_object_get(meta, "args");
    json_t *others = json_loads(spoilt->arguments ? spoilt->arguments : "{}", 0, NULL);
    assert_true(json_is_object(args) && json_is_object(others));
    assert_int_equal(json_object_update(args, others), 0);
    if (spoilt->absent)
        assert_int_equal(json_object_del(args, spoilt->absent), 0);
    assert_int_equal(json_dump_file(args, path("args.json"), 0), 0);
    json_decref(others);
    json_decref(meta);
}

/* ---- Converting ----------------------------------------------------------------------------- */

/* Returns the exit status; the output is then in the file "said". */
static int convert(const char *options)
{
    const char *build = getenv("MEGA_BUILD");
    char command[1024];
    snprintf(command, sizeof command,
             "%s/mega-convert --force -o %s --config %s %s %s >%s 2>&1", build ? build : "build",
             path("model.mega"), path("args.json"), options, path("checkpoint.safetensors"),
             path("said"));
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_said(const char *sentence)
{
    MegaBuffer said = read_file("said");
    mega_put_u8(&said, 0);
    if (!strstr((char *)said.data, sentence))
        fail_msg("'%s' does not contain '%s'", (char *)said.data, sentence);
    mega_buffer_free(&said);
}

static void expect_refused(Spoilt spoilt, const char *sentence)
{
    write_tensors(&spoilt);
    write_arguments(&spoilt);
    assert_int_equal(convert("-q"), 1);
    expect_said(sentence);
}

/* A fixture with options and other arguments, and the expected message; NULL: none. */
typedef struct Case {
    const char *fixture, *options, *arguments, *sentence;
    const char *absent;
} Case;

static void expect_said_of(const Case *cases, size_t count, int status)
{
    for (size_t i = 0; i < count; i++) {
        Spoilt fixture = {.fixture = cases[i].fixture, .arguments = cases[i].arguments,
                          .absent = cases[i].absent};
        write_tensors(&fixture);
        write_arguments(&fixture);
        int got = convert(cases[i].options ? cases[i].options : "");
        if (got != status)
            fail_msg("%s %s: status %d", cases[i].fixture, cases[i].options, got);
        if (cases[i].sentence)
            expect_said(cases[i].sentence);
        MegaBuffer said = read_file("said");
        assert_true(cases[i].sentence || said.size == 0);
        mega_buffer_free(&said);
    }
}

/* Returns the bytes of the model, after it was opened. */
static MegaBuffer expect_converted(Spoilt spoilt)
{
    MegaModel *model;
    MegaError err = {0};
    write_tensors(&spoilt);
    write_arguments(&spoilt);
    int status = convert("-q");
    MegaBuffer said = read_file("said");
    mega_put_u8(&said, 0);
    if (status)
        fail_msg("%s: %s", spoilt.fixture, (char *)said.data);
    mega_buffer_free(&said);
    if (mega_model_open(&model, path("model.mega"), &err))
        fail_msg("%s: %s", spoilt.fixture, err.text);
    mega_model_free(model);
    return read_file("model.mega");
}

/* ---- Tests ---------------------------------------------------------------------------------- */

#define OUTPUT {"decoder.output_projection.weight", 0, 0, 0}
#define DECODER {"decoder.embed_tokens.weight", 0, 0, 0}
#define ENCODER {"encoder.embed_tokens.weight", 0, 0, 0}

/* The model has the same bytes, whichever names the checkpoint has for shared tables. */
static void shared_tables(void **state)
{
    static const struct {
        Spoilt whole, parts[4];
    } cases[] = {
        {{.fixture = TRANSLATOR},
         {{TRANSLATOR, {OUTPUT}, 0, 0},
          {TRANSLATOR, {OUTPUT, DECODER}, 0, 0},
          {TRANSLATOR, {OUTPUT, ENCODER}, 0, 0},
          {TRANSLATOR, {DECODER, ENCODER}, 0, 0}}},
        {{.fixture = PLAIN}, {{PLAIN, {OUTPUT}, 0, 0}, {PLAIN, {DECODER}, 0, 0}}},
        {{.fixture = ADAPTIVE},
         {{ADAPTIVE,
           {{"decoder.adaptive_softmax.head.word_proj*", 0, 0, 0},
            {"decoder.adaptive_softmax.tail*", 0, 0, 0}}, 0, 0},
          {ADAPTIVE,
           {{"decoder.embed_tokens.embeddings.0.0.weight", 0, 0, 0},
            {"decoder.embed_tokens.embeddings.1*", 0, 0, 0},
            {"decoder.embed_tokens.embeddings.2*", 0, 0, 0}}, 0, 0}}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        MegaBuffer whole = expect_converted(cases[i].whole);
        for (int j = 0; j < 4 && cases[i].parts[j].fixture; j++) {
            MegaBuffer part = expect_converted(cases[i].parts[j]);
            assert_int_equal(part.size, whole.size);
            assert_memory_equal(part.data, whole.data, whole.size);
            mega_buffer_free(&part);
        }
        mega_buffer_free(&whole);
    }
}

/* The arguments that say which tables are shared are missing here. */
static void tables_that_are_not_shared(void **state)
{
    (void)state;
    expect_refused((Spoilt){PLAIN, {OUTPUT}, "{\"share_decoder_input_output_embed\": false}", 0},
                   "there is no output: neither decoder.output_projection.weight nor");
    expect_refused((Spoilt){TRANSLATOR, {ENCODER}, "{\"share_all_embeddings\": false}", 0},
                   "there is no encoder.embed_tokens.weight, and no argument share_all_embeddings");
    expect_refused((Spoilt){ADAPTIVE, {{"decoder.embed_tokens.embeddings.0*", 0, 0, 0}},
                            "{\"tie_adaptive_weights\": false}", 0},
                   "neither decoder.embed_tokens.weight nor decoder.embed_tokens.embeddings.0.0");
    expect_refused((Spoilt){ADAPTIVE, {{"decoder.adaptive_softmax.tail.1.2.weight", 0, 0, 0}},
                            "{\"tie_adaptive_weights\": false}", 0},
                   "the decoder's embedding has 304 words, but its output has 120");
    expect_refused((Spoilt){ADAPTIVE, {{"decoder.adaptive_softmax.tail.1.0.weight", 0, 0, 0}},
                            "{\"tie_adaptive_proj\": false}", 0},
                   "tensor 'decoder.adaptive_softmax.tail.1.0.weight' is missing");
}

static void shapes_that_do_not_fit(void **state)
{
    (void)state;
    expect_refused((Spoilt){TRANSLATOR, {{"decoder.embed_tokens.weight", 0, 208, 0}}, 0, 0},
                   "the decoder's embedding has 208 words, but its output has 200");
    expect_refused((Spoilt){TRANSLATOR, {{"encoder.embed_tokens.weight", 1, 48, 0}}, 0, 0},
                   "tensor 'encoder.embed_tokens.weight' has shape [200, 48], but");
    expect_refused((Spoilt){TRANSLATOR, {{"decoder.layers.0.mega_layer.move.omega", 0, 16, 0}}, 0,
                            0},
                   "wide, but its layers 16, and there is no decoder.project_in_dim.weight");
    expect_refused((Spoilt){TRANSLATOR, {{"decoder.layers.1.cross_attn.q_proj.weight", 0, 9, 0}}, 0,
                            0},
                   "tensor 'decoder.layers.1.cross_attn.q_proj.weight' has shape [9, ");
    expect_refused((Spoilt){TRANSLATOR,
                            {{"decoder.layers.1.cross_attn.rel_pos_bias.rel_pos_bias", 0, 7, 0}}, 0,
                            0},
                   "rel_pos_bias' has shape [7], but");
    expect_refused((Spoilt){TRANSLATOR,
                            {{"decoder.layers.0.mega_layer.rel_pos_bias.rel_pos_bias", 0, 30, 0}},
                            0, 0},
                   "the relative position bias has 30 entries, but an odd number was expected");
    expect_refused((Spoilt){ADAPTIVE, {{"decoder.adaptive_softmax.tail.1.2.weight", 0, 180, 0}}, 0,
                            0},
                   "the decoder's embedding has 304 words, but its output has 300");
    expect_refused((Spoilt){ADAPTIVE,
                            {{"decoder.adaptive_softmax.head.class_proj.weight", 0, 3, 0}}, 0, 0},
                   "has shape [3, 64], but the other tensors and arguments imply [2, 64]");
    expect_refused((Spoilt){ADAPTIVE, {{"decoder.adaptive_softmax.tail.0.0.weight", 1, 15, 0}}, 0,
                            0},
                   "has shape [64, 15], but the other tensors and arguments imply [64, 16]");
    expect_refused((Spoilt){ADAPTIVE, {{"decoder.embed_tokens.embeddings.1.1.weight", 0, 63, 0}}, 0,
                            0},
                   "has shape [63, 16], but the other tensors and arguments imply [64, 16]");
}

static void missing_parts(void **state)
{
    (void)state;
    expect_refused((Spoilt){TRANSLATOR, {{"decoder.layers.1*", 0, 0, 0}}, 0, 0},
                   "argument decoder_layers is 2, but the number of layers in the checkpoint is 1");
    expect_refused((Spoilt){TRANSLATOR, {{"decoder.layers.0.cross_attn.h_proj*", 0, 0, 0}}, 0, 0},
                   "2 tensors of a fairseq translator are missing");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"no_affine_final_norm\": false}"},
                   "tensor 'decoder.final_norm.norm.bias' is missing");
    expect_refused((Spoilt){.fixture = PLAIN, .absent = "no_affine_final_norm"},
                   "no_affine_final_norm (whether the final norm has no weights)");
    expect_refused((Spoilt){.fixture = TRANSLATOR, .absent = "decoder_chunk_size"},
                   "decoder_chunk_size (chunk size)");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"decoder_layers\": \"three\"}"},
                   "argument decoder_layers is \"three\", but a whole number");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"attention_activation_fn\": \"x\"}"},
                   "argument attention_activation_fn is 'x', which is not supported");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"normalization_type\": \"x\"}"},
                   "argument normalization_type is 'x', which is not supported");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"decoder_chunk_size\": 2147483647}"},
                   "not 2147483647");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"share_all_embeddings\": [1]}"},
                   "argument share_all_embeddings is [1], but a whole number");
}

/* Names of another type are no defaults. */
static void names_of_other_types(void **state)
{
    (void)state;
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"activation_fn\": 3}"},
                   "argument activation_fn is not text, but the name of the activation function");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"normalization_type\": [\"x\"]}"},
                   "argument normalization_type is not text, but");
    expect_refused((Spoilt){.fixture = TEXT, .arguments = "{\"sen_rep_type\": 1}"},
                   "argument sen_rep_type is not text, but");
    MegaBuffer usual = expect_converted(
        (Spoilt){.fixture = PLAIN, .arguments = "{\"activation_fn\": null}"});
    mega_buffer_free(&usual);
}

/* Arguments that a bare state dict gets by hand may contradict its tensors. */
static void arguments_against_tensors(void **state)
{
    static const char *const post = "{\"decoder_normalize_before\": false}";
    (void)state;
    expect_refused((Spoilt){.fixture = PRE_NORM, .arguments = "{\"encoder_normalize_before\": 0}"},
                   "the arguments say post-norm (normalize_before), but the checkpoint has "
                   "encoder.encoder.final_norm.norm, which only pre-norm models have");
    expect_refused((Spoilt){.fixture = XFM, .absent = "encoder_normalize_before"},
                   "post-norm (encoder_normalize_before), but the checkpoint has "
                   "encoder.layer_norm, which only");
    expect_refused((Spoilt){XFM, {{"encoder.layer_norm.weight", 0, 48, "decoder.layer_norm.weight"},
                                  {"encoder.layer_norm.bias", 0, 48, "decoder.layer_norm.bias"}},
                            post, 0},
                   "post-norm (decoder_normalize_before), but the checkpoint has "
                   "decoder.layer_norm, which only");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"rel_pos_bias\": \"rotary\"}"},
                   "the arguments say a rotary relative position bias, but the tensors are those "
                   "of a simple one");
    expect_refused((Spoilt){.fixture = ADAPTIVE, .arguments = "{\"rel_pos_bias\": \"simple\"}"},
                   "the arguments say a simple relative position bias, but the tensors are those "
                   "of a rotary one");
    expect_refused((Spoilt){.fixture = PLAIN, .arguments = "{\"rel_pos_bias\": \"alibi\"}"},
                   "argument rel_pos_bias is 'alibi', which is not supported");
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void classifiers_spoilt(void **state)
{
    (void)state;
    expect_refused((Spoilt){TEXT, {{"encoder.encoder.embed_tokens.embed.weight", 0, 0, 0}}, 0, 0},
                   "there is no embedding: neither encoder.encoder.embed_tokens.embed.weight nor");
    expect_refused((Spoilt){TEXT, {{"sentence_projection_layer.weight", 0, 0, 0}}, 0, 0},
                   "there is no sentence_projection_layer.weight: not a classifier");
    expect_refused((Spoilt){TEXT, {{"classifier.0.0.weight", 1, 25, 0}}, 0, 0},
                   "the classifier takes vectors of 25, but the encoder has width 24");
    expect_refused((Spoilt){.fixture = TEXT, .arguments = "{\"sen_rep_type\": \"max\"}"},
                   "argument sen_rep_type is 'max', which is not supported");
    expect_refused((Spoilt){.fixture = TEXT, .absent = "sen_rep_type"},
                   "sen_rep_type (pooling: mp or cls)");
    expect_refused((Spoilt){.fixture = TEXT, .arguments = "{\"classifier_activation_fn\": \"x\"}"},
                   "argument classifier_activation_fn is 'x', which is not supported");
    expect_refused((Spoilt){.fixture = TEXT, .arguments = "{\"norm_type\": \"scalenorm\"}"},
                   "the arguments say scalenorm, but the tensors are those of layernorm");
    expect_refused((Spoilt){TEXT,
                            {{"encoder.encoder.layers.0.mega_layer.v_proj.weight", 0, 0, 0}}, 0, 0},
                   "mega_layer.v_proj.weight' is missing; a size of the model is read from it");
    expect_refused((Spoilt){TEXT, {{"encoder.encoder.layers*", 0, 0, 0}}, 0, 0},
                   "none of the known architectures fits");
    expect_refused((Spoilt){PATCHES, {{"pos_embed", 1, 15, 0}}, 0, 0},
                   "15 patches of 16 do not make a square image");
    expect_refused((Spoilt){.fixture = PATCHES, .arguments = "{\"input_size\": 32}"},
                   "argument input_size is 32, but the tensors are for images of 64");
    expect_refused((Spoilt){TRANSLATOR,
                            {{"decoder.output_projection.weight", 1, 48, 0}},
                            "{\"share_decoder_input_output_embed\": false}", 0},
                   "the decoder's output is 48 wide, but its layers 64");
    expect_refused((Spoilt){ADAPTIVE, {{"decoder.adaptive_softmax.head.word_proj.weight", 0, 0, 0}},
                            "{\"tie_adaptive_weights\": false}", 0},
                   "there is no decoder.adaptive_softmax.head.weight and no ");
}

/* The head of this adaptive softmax is a single matrix, of words and then of tails. */
static void whole_head(void **state)
{
    static const char *const words = "decoder.adaptive_softmax.head.word_proj.weight",
                            *const whole = "decoder.adaptive_softmax.head.weight",
                            *const classes = "decoder.adaptive_softmax.head.class_proj.weight",
                            *const untied = "{\"tie_adaptive_weights\": false}";
    (void)state;
    MegaBuffer model = expect_converted(
        (Spoilt){ADAPTIVE, {{words, 0, 42, whole}, {classes, 0, 0, 0}}, untied, 0});
    mega_buffer_free(&model);
    /* a projection may stand in front of it */
    model = expect_converted(
        (Spoilt){ADAPTIVE,
                 {{words, 0, 42, whole}, {classes, 0, 64, "decoder.project_out_dim.weight"}},
                 untied, 0});
    mega_buffer_free(&model);
    expect_refused((Spoilt){ADAPTIVE, {{words, 0, 2, whole}, {classes, 0, 0, 0}}, untied, 0},
                   "the vocabulary has more than 16 clusters, or one of no words");
    expect_refused((Spoilt){ADAPTIVE, {{words, 0, 41, whole}, {classes, 0, 0, 0}}, untied, 0},
                   "the decoder's embedding has 304 words, but its output has 303");
}

/* A linear embedding of rank 2 takes frames of samples. */
static void frames_are_embedded(void **state)
{
    static const char *const linear = "encoder.encoder.embed_tokens.weight";
    (void)state;
    MegaBuffer model =
        expect_converted((Spoilt){PIXELS, {{linear, 1, 8, 0}}, "{\"frame_hop\": 4}", 0});
    mega_buffer_free(&model);
    expect_refused((Spoilt){PIXELS, {{linear, 1, 8, 0}}, 0, 0},
                   "frame_hop (samples from one frame to the next)");
    expect_refused((Spoilt){PIXELS, {{linear, 1, 8, 0}}, "{\"frame_hop\": \"4\"}", 0},
                   "argument frame_hop is \"4\", but a whole number");
    expect_refused((Spoilt){PIXELS, {{linear, 1, 8, 0}}, "{\"frame_hop\": 5}", 0},
                   "embed.frame_length 8 must exceed embed.frame_hop 5 by an even number");
}

/* Tests a dictionary of another length, and options that the model has no use for. */
static void dictionaries_and_options(void **state)
{
    static const Case refused[] = {
        {TRANSLATOR, "--dict tests/fixtures/" PLAIN "/dict.txt", 0,
         "(four of them reserved), but the decoder's embedding has 200 rows", 0},
        {TRANSLATOR,
         "--source-dict tests/fixtures/" PLAIN "/dict.txt "
         "--target-dict tests/fixtures/" TRANSLATOR "/dict.de.txt",
         0, "(four of them reserved), but the encoder's embedding has 200 rows", 0},
        {ADAPTIVE, "--dict tests/fixtures/" TRANSLATOR "/dict.de.txt", 0,
         "makes a vocabulary of 200 symbols (four of them reserved), but the decoder's embedding "
         "has 304 rows",
         0},
        {TEXT, "--dict tests/fixtures/" PLAIN "/dict.txt", 0, "but the embedding has 33 rows", 0},
        {PLAIN, "--source-dict x", 0, "--source-dict is for a translator, which this is not", 0},
        {PLAIN, "--bpe-threshold 5", 0,
         "--bpe-vocabulary, --bpe-threshold or --bpe-glossary is for a model with --bpe-codes", 0},
        {PLAIN, "--labels a,b", 0, "--labels is for a classifier, which this is not", 0},
        {TRANSLATOR,
         "--tokenizer moses --source-dict tests/fixtures/" TRANSLATOR
         "/dict.en.txt --target-dict tests/fixtures/" TRANSLATOR "/dict.de.txt",
         0, "the languages are not known: give --source-lang and --target-lang", "source_lang"},
        {TEXT, "--name \377", 0, "the provenance texts cannot be stored: not UTF-8", 0},
    };
    static const Case noted[] = {
        {TRANSLATOR, 0, 0,
         "no --source-dict and --target-dict: the model takes token ids only, not text", 0},
        {PLAIN, 0, 0, "no --dict: the model takes token ids only, not text", 0},
        {TEXT, 0, 0, "no --dict: the model takes token ids only, not text", 0},
    };
    (void)state;
    expect_said_of(refused, COUNT(refused), 1);
    expect_said_of(noted, COUNT(noted), 0);
}

static void labels_and_statistics(void **state)
{
    static const Case refused[] = {
        {PIXELS, "--labels a,b,c", 0,
         "there is no file a,b,c, and as a list of labels it has 3, but the model has 2 classes",
         0},
        {PIXELS, "--labels tests/fixtures/" TEXT "/dict.txt", 0,
         "labels, but the model has 2 classes", 0},
        {PIXELS, "--labels tests", 0, "tests", 0},
        {PIXELS, 0, "{\"labels\": [\"a\", 2]}", "label 1 in the arguments is not a text", 0},
        {PIXELS, 0, "{\"labels\": [\"a\"]}", "there are 1 labels, but the model has 2 classes", 0},
        {PIXELS, "--labels a,\377", 0, "the labels cannot be stored: not UTF-8, or too long", 0},
        {PATCHES, "--pixel-mean 0.5,0.4", 0,
         "the pixels' mean and deviation must be one number, or 3", 0},
        {PATCHES, "--pixel-mean 0.5,0.5,0.5,0.5 --pixel-std 1,1,1", 0,
         "the pixels' mean and deviation must be one number, or 3", 0},
        {PATCHES, "--pixel-mean 0.5 --pixel-std 1,1,1,1", 0,
         "the pixels' mean and deviation must be one number, or 3", 0},
        {PIXELS, "--pixel-mean 0.5,0.5", 0,
         "the pixels' mean and deviation must be one number, or 1", 0},
        {PIXELS, 0, "{\"pixel_std\": [1, 1, 1]}",
         "the pixels' mean and deviation must be one number, or 1", 0},
        {PATCHES, 0, "{\"pixel_mean\": [0, 0, 0, 0, 0]}",
         "the pixels' mean and deviation must be one number, or 3", 0},
        {PATCHES, 0, "{\"pixel_mean\": [0, \"0\", 0]}",
         "the pixels' mean and deviation must be one number, or 3", 0},
        {PIXELS, "--audio-mean 0 --audio-std 1",
         "{\"input_type\": \"audio\", \"sample_rate\": \"fast\"}",
         "argument sample_rate is \"fast\", but a whole number", 0},
    };
    static const Case noted[] = {
        {PIXELS, 0, "{\"input_type\": \"audio\"}", "cannot read recordings", 0},
        {PIXELS, 0, "{\"max_positions\": 7}",
         "the number of positions is not a square: pictures cannot be read", 0},
    };
    static const Case silent[] = {
        {PIXELS, "--labels a,b --pixel-mean 0.5 --pixel-std 0.25", 0, NULL, 0},
        {PIXELS, "--audio-mean 0 --audio-std 1 --audio-rate 8000", "{\"input_type\": \"audio\"}",
         NULL, 0},
        {PIXELS, 0, "{\"labels\": [\"no\", \"yes\"], \"pixel_mean\": [0.5], \"pixel_std\": 1}",
         NULL, 0},
        {PATCHES, "--pixel-mean 0.5,0.4,0.3 --pixel-std 1,2,3", 0, NULL, 0},
    };
    (void)state;
    expect_said_of(refused, COUNT(refused), 1);
    expect_said_of(noted, COUNT(noted), 0);
    expect_said_of(silent, COUNT(silent), 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"checkpoint.safetensors", "args.json", "model.mega",
                                        "said"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(path(names[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_tables),          cmocka_unit_test(tables_that_are_not_shared),
        cmocka_unit_test(shapes_that_do_not_fit), cmocka_unit_test(missing_parts),
        cmocka_unit_test(names_of_other_types),   cmocka_unit_test(arguments_against_tensors),
        cmocka_unit_test(classifiers_spoilt),     cmocka_unit_test(frames_are_embedded),
        cmocka_unit_test(whole_head),             cmocka_unit_test(dictionaries_and_options),
        cmocka_unit_test(labels_and_statistics),
    };
    return cmocka_run_group_tests_name("convert", tests, make_folder, remove_folder);
}
