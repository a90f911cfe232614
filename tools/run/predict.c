/*
 * predict.c - see predict.h. Shared by classify and eval, so that both judge an input alike.
 */
#include "predict.h"

int predict(float *probabilities, MegaSession *session, const MegaModel *model, const Input *input,
            const char *path, MegaError *err)
{
    MegaError inner = {0};
    int code = mega_session_classify(session, input->views, input->count, probabilities, &inner);
    if (code)
        return mega_fail(err, code, "%s: %s", path, inner.text);
    mega_softmax(probabilities, mega_model_class_count(model), probabilities);
    return 0;
}
