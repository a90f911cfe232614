/*
 * torch_state.c - finds named tensors and arguments in the value that torch.save stored.
 *
 * The value is a state dict (name -> tensor), a whole module, or nested dicts with one of these
 * somewhere, beside arguments and the state of the training run, which is ignored. A dict under a
 * name such as model_ema holds averaged weights, which are taken if the caller asks for them or
 * there are no others.
 */
#include "formats/checkpoint/checkpoint_build.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 5 /* deepest nesting of dicts */
#define VISIT_WORK 10 /* a value that is visited counts as several that are looked at */
#define MAX_PATH 256

/* ---- Finding -------------------------------------------------------------------------------- */

typedef struct Candidate {
    const MegaPickleValue *chain[MAX_DEPTH + 1]; /* the values from the root to the dict */
    int depth;
    int rank; /* position of its key in rank_of's list; lower is likelier */
    size_t tensors;
    uint64_t digest; /* of the tensors' names and places in storages, in any order */
    char rival[MAX_PATH]; /* the path of another dict that is as likely, or "" */
    char path[MAX_PATH]; /* "model", "ema.module", or "" for the root itself */
} Candidate;

typedef struct Search {
    Candidate at, model, averaged;
    uint64_t work;
} Search;

/* Returns whether a word begins or ends at a byte of a text. Words consist of letters, and a
 * capital after a small letter begins one. */
static bool is_boundary(const char *text, size_t length, size_t at)
{
    if (at == 0 || at == length)
        return true;
    const unsigned char before = (unsigned char)text[at - 1], after = (unsigned char)text[at];
    return !isalpha(before) || !isalpha(after) || (islower(before) && isupper(after));
}

/* Returns whether a text contains one of the words as a whole word, in upper or lower case. */
static bool contains_word(const char *text, size_t length, const char *const *words)
{
    for (; *words; words++) {
        const size_t size = strlen(*words);
        for (size_t i = 0; i + size <= length; i++) {
            size_t same = 0;
            while (same < size && (text[i + same] | 0x20) == (*words)[same])
                same++;
            if (same == size && is_boundary(text, length, i) &&
                is_boundary(text, length, i + size))
                return true;
        }
    }
    return false;
}

bool mega_checkpoint_is_average(const char *name, size_t length)
{
    static const char *const words[] = {"ema",    "averaged", "average", "swa",
                                        "shadow", "teacher",  "avg",     NULL};
    return contains_word(name, length, words);
}

/* Returns whether a key names training state. The state of an optimizer holds tensors, too, but
 * they are not weights. */
static bool is_training_state(const char *key)
{
    static const char *const words[] = {"optim",     "optims",     "optimizer", "optimizers",
                                        "optimiser", "optimisers", "scheduler", "schedulers",
                                        "scaler",    "scalers",    NULL};
    return contains_word(key, strlen(key), words);
}

static int rank_of(const Search *search)
{
    static const char *const keys[] = {"model", "state_dict", "model_state_dict"};
    const char *path = search->at.path;
    int count = sizeof keys / sizeof keys[0], rank = 0;
    while (rank < count && (strncmp(path, keys[rank], strlen(keys[rank])) != 0 ||
                            (path[strlen(keys[rank])] && path[strlen(keys[rank])] != '.')))
        rank++;
    return rank;
}

static bool better(const Candidate *a, const Candidate *b)
{
    if (!b->tensors || a->rank != b->rank)
        return !b->tensors || a->rank < b->rank;
    return a->tensors > b->tensors;
}

/* Visits the tensors of a state dict or of a module. */
static int each_tensor(const char *file, const MegaPickleValue *holder, uint64_t *work,
                       MegaModuleVisit visit, void *context, MegaError *err)
{
    const MegaPickleValue *dict = mega_pickle_mapping(holder);
    int code = dict ? 0 : mega_torch_module_each(file, holder, work, visit, context, err);
    for (size_t i = 0; dict && i < dict->list.count && !code; i += 2) {
        const MegaPickleValue *name = dict->list.items[i], *value = dict->list.items[i + 1];
        if (value->type == MEGA_PICKLE_TENSOR && mega_pickle_is_text(name))
            code = visit(context, name->text.data, value->tensor, err);
    }
    return code;
}

/* Continues an FNV-1a hash. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static int count_tensor(void *context, const char *name, const MegaPickleTensor *tensor,
                        MegaError *err)
{
    Search *search = context;
    /* a longer name is an error later, and may occur very often */
    const size_t length = strnlen(name, MEGA_CHECKPOINT_MAX_NAME);
    uint64_t hash = hash_bytes(UINT64_C(0xcbf29ce484222325), name, length);
    (void)err;
    if (tensor->storage)
        hash = hash_bytes(hash, tensor->storage->key, strlen(tensor->storage->key));
    search->at.digest += hash_bytes(hash, &tensor->offset, sizeof tensor->offset);
    search->at.tensors++;
    search->work += VISIT_WORK;
    return 0;
}

/* Compares the current place, a dict or a module, with the best candidate. */
static void rate_candidate(Search *search)
{
    Candidate *at = &search->at;
    const MegaPickleValue *holder = at->chain[at->depth], *dict = mega_pickle_mapping(holder);
    at->tensors = 0;
    at->digest = 0;
    search->work += dict ? dict->list.count / 2 : 0;
    each_tensor("", holder, &search->work, count_tensor, search, NULL);
    at->rank = rank_of(search);
    Candidate *best =
        mega_checkpoint_is_average(at->path, strlen(at->path)) ? &search->averaged : &search->model;
    if (at->tensors && better(at, best))
        *best = *at;
    else if (at->tensors == best->tensors && at->rank == best->rank &&
             at->digest != best->digest && !best->rival[0])
        memcpy(best->rival, at->path, sizeof best->rival);
}

/* Searches a value and everything that it holds. Chain and path of search->at end with the
 * value. */
static void search_value(Search *search, const MegaPickleValue *value)
{
    Candidate *at = &search->at;
    const MegaPickleValue *dict = mega_pickle_mapping(value), *values = dict ? dict : value;
    size_t step = dict ? 2 : 1, length = strlen(at->path);
    bool module = !dict && mega_torch_is_module(value, &search->work);
    if (!dict && !module && value->type != MEGA_PICKLE_LIST && value->type != MEGA_PICKLE_TUPLE)
        return;
    at->chain[at->depth] = value;
    if (dict || module)
        rate_candidate(search);
    if (module || at->depth == MAX_DEPTH)
        return;
    for (size_t i = 0; i + step <= values->list.count && search->work < MEGA_TORCH_MAX_WORK;
         i += step) {
        const MegaPickleValue *key = dict ? values->list.items[i] : NULL;
        char number[24];
        const char *text = number;
        search->work += VISIT_WORK;
        if (key && key->type != MEGA_PICKLE_INT &&
            (!mega_pickle_is_text(key) || key->text.size >= MAX_PATH))
            continue;
        if (key && key->type != MEGA_PICKLE_INT)
            text = key->text.data;
        else
            snprintf(number, sizeof number, "%" PRId64, key ? key->integer : (int64_t)i);
        if (is_training_state(text) || length + strlen(text) + 2 > MAX_PATH)
            continue;
        snprintf(at->path + length, MAX_PATH - length, "%s%s", length ? "." : "", text);
        at->depth++;
        search_value(search, values->list.items[i + step - 1]);
        at->depth--;
        at->path[length] = '\0';
    }
}

/* ---- Taking --------------------------------------------------------------------------------- */

typedef struct Taking {
    MegaCheckpoint *checkpoint;
    MegaStorageFind find;
    void *context;
} Taking;

static int take_tensor(void *opaque, const char *name, const MegaPickleTensor *have, MegaError *err)
{
    const Taking *taking = opaque;
    MegaCheckpointTensor tensor = {.type = have->type,
                                   .readable =
                                       have->readable && have->rank <= MEGA_CHECKPOINT_MAX_RANK,
                                   .dtype = have->dtype,
                                   .rank = have->rank,
                                   .shape = have->shape,
                                   .stride = have->stride,
                                   .elements = have->elements,
                                   .offset = have->offset};
    const uint8_t *bytes = NULL;
    int code = 0;
    if (tensor.readable)
        code = taking->find(taking->context, have->storage, &bytes, &tensor.storage_size, err);
    if (code)
        return code;
    tensor.storage = bytes;
    return mega_checkpoint_add(taking->checkpoint, &tensor, name, strlen(name), err);
}

static int take_state(MegaCheckpoint *checkpoint, const Candidate *found, MegaStorageFind find,
                      void *context, MegaError *err)
{
    Taking taking = {.checkpoint = checkpoint, .find = find, .context = context};
    uint64_t work = 0;
    int code = each_tensor(checkpoint->name, found->chain[found->depth], &work, take_tensor,
                           &taking, err);
    if (!code)
        code = mega_torch_extras(checkpoint, found->chain, found->depth, "", err);
    /* arguments are beside the state dict or in an enclosing dict */
    for (int i = found->depth; i >= 0 && !code; i--)
        code = mega_torch_arguments(checkpoint, found->chain[i], err);
    return code;
}

int mega_torch_state(MegaCheckpoint *checkpoint, const MegaPickleValue *root, MegaWeightSet weights,
                     MegaStorageFind find, void *context, MegaError *err)
{
    Search *search = calloc(1, sizeof *search);
    if (!search)
        return MEGA_CHECKPOINT_FAIL(MEGA_ERR_MEMORY, "no memory for the tensors");
    search_value(search, root);
    Candidate *model = &search->model, *averaged = &search->averaged;
    bool take_average = averaged->tensors && (weights == MEGA_WEIGHTS_EMA || !model->tensors);
    const Candidate *found = take_average ? averaged : model,
                    *other = take_average ? model : averaged;
    int code = 0;
    if (!found->tensors && search->work >= MEGA_TORCH_MAX_WORK)
        code = MEGA_CHECKPOINT_FAIL(MEGA_ERR_LIMIT,
                                    "its values contain one another so often that not all of them "
                                    "can be searched for tensors");
    else if (!found->tensors)
        code = MEGA_CHECKPOINT_FAIL(
            MEGA_ERR_MODEL,
            "no tensors were found: the checkpoint holds %s; expected a state dict, or a dict with "
            "one as 'model', 'state_dict' or 'model_state_dict'",
            mega_pickle_describe(root));
    checkpoint->averaged = take_average;
    checkpoint->place = code ? NULL : strdup(found->path);
    checkpoint->other_place = !code && other->tensors ? strdup(other->path) : NULL;
    checkpoint->rival_place = !code && found->rival[0] ? strdup(found->rival) : NULL;
    if (!code && (!checkpoint->place || (other->tensors && !checkpoint->other_place) ||
                  (found->rival[0] && !checkpoint->rival_place)))
        code = MEGA_CHECKPOINT_FAIL(MEGA_ERR_MEMORY, "no memory for the tensors");
    if (!code)
        code = take_state(checkpoint, found, find, context, err);
    free(search);
    return code;
}
