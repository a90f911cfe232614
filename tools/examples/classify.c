/*
 * classify.c - an example of the C interface: classify MODEL.mega < NUMBERS
 *
 * The numbers, separated by white space, are what the model is fed: token ids, or samples or pixels
 * (channels x height x width), normalised.
 * Prints the label and probability of every class, the best first.
 *
 *     cc classify.c -o classify $(pkg-config --cflags --libs mega)
 *     echo 5 6 7 8 | ./classify text.mega
 */
#include <mega.h>
#include <stdio.h>
#include <stdlib.h>

/* All numbers of standard input; *count of them. The array is the caller's to free. */
static float *read_numbers(size_t *count)
{
    float *numbers = NULL, number;
    size_t capacity = 0;
    *count = 0;
    while (scanf("%f", &number) == 1) {
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            float *grown = realloc(numbers, capacity * sizeof *numbers);
            if (!grown) {
                free(numbers);
                return NULL;
            }
            numbers = grown;
        }
        numbers[(*count)++] = number;
    }
    return numbers;
}

static int32_t *to_tokens(const float *numbers, size_t count)
{
    int32_t *tokens = malloc((count + 1) * sizeof *tokens);
    for (size_t i = 0; tokens && i < count; i++)
        tokens[i] = (int32_t)numbers[i];
    return tokens;
}

static void print_classes(const MegaModel *model, float *probabilities)
{
    int count = mega_model_class_count(model);
    for (int rank = 0; rank < count; rank++) {
        int best = 0;
        for (int i = 1; i < count; i++)
            if (probabilities[i] > probabilities[best])
                best = i;
        const char *label = mega_model_label(model, best);
        if (label)
            printf("%s\t%.4f\n", label, (double)probabilities[best]);
        else
            printf("%d\t%.4f\n", best, (double)probabilities[best]);
        probabilities[best] = -1;
    }
}

int main(int argc, char **argv)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    MegaSession *session = NULL;
    MegaInput input = {0};
    float *numbers = NULL, *logits = NULL;
    int32_t *tokens = NULL;
    int status = 1;
    if (argc != 2) {
        fprintf(stderr, "Usage: %s MODEL.mega < NUMBERS\n", argv[0]);
        return 2;
    }
    if (mega_model_open(&model, argv[1], &err) || mega_session_new(&session, model, NULL, &err))
        goto out;
    if (mega_model_task(model) != MEGA_TASK_CLASSIFY) {
        mega_fail(&err, MEGA_ERR_MODEL, "%s is no classifier", argv[1]);
        goto out;
    }
    numbers = read_numbers(&input.length);
    tokens = to_tokens(numbers, input.length);
    logits = malloc((size_t)mega_model_class_count(model) * sizeof *logits);
    if (!numbers || !tokens || !logits) {
        mega_fail(&err, MEGA_ERR_INPUT, "no numbers were given, or there is no memory for them");
        goto out;
    }
    input.kind = mega_model_input_kind(model);
    input.tokens = tokens;
    input.values = numbers; /* an image's shape is the model's, since none is given */
    if (mega_session_classify(session, &input, 1, logits, &err))
        goto out;
    mega_softmax(logits, mega_model_class_count(model), logits);
    print_classes(model, logits);
    status = 0;
out:
    if (status)
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    free(logits);
    free(tokens);
    free(numbers);
    mega_session_free(session);
    mega_model_free(model);
    return status;
}
