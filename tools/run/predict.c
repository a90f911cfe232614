/*
 * predict.c - see predict.h. Shared by classify and eval, so that both judge an input alike.
 */
#include "tools/run/predict.h"

#include <stdio.h>

#include "formats/base/input_stream.h"
#include "src/encode/session.h"
#include "tools/run/options.h"

void report_cut(InputReader *reader, const char *path, const Input *input, const char *way)
{
    char whole[40] = "";
    const double length = input_reader_length(reader);
    if (length > 0)
        snprintf(whole, sizeof whole, " of %.2f", length);
    report("%s: looked at the first %.2f%s s; %s %g looks at all of it", mega_source_name(path),
           input->end, whole, way, input_reader_clip(reader));
}

int predict(float *probabilities, MegaSession *session, const MegaModel *model, const Input *input,
            const char *path, MegaError *err)
{
    MegaError inner = {0};
    int code = mega_session_count(session, 0, input->memory, "the input", &inner);
    if (!code) {
        code = mega_session_classify(session, input->views, input->count, probabilities, &inner);
        mega_session_count(session, input->memory, 0, NULL, NULL);
    }
    if (code)
        return mega_fail(err, code, "%s: %s", path, inner.text);
    mega_softmax(probabilities, mega_model_class_count(model), probabilities);
    return 0;
}
