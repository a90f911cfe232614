/*
 * torch_module.c - finds the tensors of a module that was saved as a whole, torch.save(model),
 * instead of its state dict. The class is unknown here, but every module has its parameters,
 * buffers and submodules in attributes of the same names. The tensors get the names that
 * Module.state_dict() would give them.
 */
#include "formats/checkpoint/checkpoint_build.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 64 /* deepest nesting of modules */
#define MAX_WRAPPERS 8 /* most wrappers around one module */

typedef struct Walk {
    /* name of the module or tensor that is being visited */
    char name[MEGA_CHECKPOINT_MAX_NAME + 1];
    const char *file;
    uint64_t *work;
    MegaModuleVisit visit;
    void *context;
} Walk;

/* Returns a dict among the attributes of a module. Each attribute is looked at, which counts as
 * work, since a pickle can name one object very often. */
static const MegaPickleValue *attribute(const MegaPickleValue *module, const char *name,
                                        uint64_t *work)
{
    const MegaPickleValue *attributes = mega_pickle_attributes(module);
    *work += attributes ? attributes->list.count / 2 : 0;
    const MegaPickleValue *value = attributes ? mega_pickle_get(attributes, name) : NULL;
    return value ? mega_pickle_mapping(value) : NULL;
}

/* Returns the module that a value is, or that it wraps, or NULL. What torch.compile returns is
 * stored as a call with the module as the first argument, without attributes of its own. */
static const MegaPickleValue *module_of(const MegaPickleValue *value, uint64_t *work)
{
    for (int i = 0; i < MAX_WRAPPERS; i++) {
        if (attribute(value, "_parameters", work) && attribute(value, "_modules", work))
            return value;
        const MegaPickleValue *call =
            value->type == MEGA_PICKLE_OBJECT ? value->object->arguments : NULL;
        if (!call || call->type != MEGA_PICKLE_TUPLE || call->list.count == 0)
            return NULL;
        value = call->list.items[0];
    }
    return NULL;
}

bool mega_torch_is_module(const MegaPickleValue *value, uint64_t *work)
{
    return module_of(value, work) != NULL;
}

static bool is_temporary(const MegaPickleValue *module, const char *buffer, uint64_t *work)
{
    const MegaPickleValue *attributes = mega_pickle_attributes(module);
    const MegaPickleValue *set = mega_pickle_get(attributes, "_non_persistent_buffers_set");
    const size_t count = set && set->type == MEGA_PICKLE_SET ? set->list.count : 0;
    *work += attributes->list.count / 2 + count;
    for (size_t i = 0; i < count; i++)
        if (mega_pickle_is_text(set->list.items[i]) &&
            strcmp(set->list.items[i]->text.data, buffer) == 0)
            return true;
    return false;
}

/* Appends a part to the first `length` bytes of the name. Returns false if the name becomes too
 * long or the part is not text. */
static bool extend_name(Walk *walk, size_t length, const MegaPickleValue *part)
{
    if (!mega_pickle_is_text(part) || length + part->text.size + 2 > sizeof walk->name)
        return false;
    snprintf(walk->name + length, sizeof walk->name - length, "%s%s", length ? "." : "",
             part->text.data);
    return true;
}

static int visit_module(Walk *walk, const MegaPickleValue *module, int depth, MegaError *err)
{
    static const char *const kinds[] = {"_parameters", "_buffers", "_modules"};
    size_t length = strlen(walk->name);
    int code = 0;
    for (size_t kind = 0; kind < 3; kind++) {
        const MegaPickleValue *dict = attribute(module, kinds[kind], walk->work);
        for (size_t i = 0; dict && !code && i < dict->list.count; i += 2) {
            const MegaPickleValue *part = dict->list.items[i], *value = dict->list.items[i + 1];
            if (++*walk->work > MEGA_TORCH_MAX_WORK)
                return mega_fail(err, MEGA_ERR_LIMIT,
                                 "%s: its modules contain one another so often that not all of "
                                 "them can be visited",
                                 walk->file);
            if (!extend_name(walk, length, part))
                continue;
            const MegaPickleValue *inner =
                kind == 2 && depth < MAX_DEPTH ? module_of(value, walk->work) : NULL;
            if (inner)
                code = visit_module(walk, inner, depth + 1, err);
            else if (kind < 2 && value->type == MEGA_PICKLE_TENSOR &&
                     !(kind == 1 && is_temporary(module, part->text.data, walk->work)))
                code = walk->visit(walk->context, walk->name, value->tensor, err);
        }
        walk->name[length] = '\0';
    }
    return code;
}

int mega_torch_module_each(const char *file, const MegaPickleValue *module, uint64_t *work,
                           MegaModuleVisit visit, void *context, MegaError *err)
{
    Walk walk = {.file = file, .work = work, .visit = visit, .context = context};
    return visit_module(&walk, module_of(module, work), 0, err);
}
