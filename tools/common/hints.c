/*
 * hints.c - see hints.h.
 */
#include "tools/common/hints.h"

#include <string.h>

static const struct {
    const char *words; /* of the library's sentence */
    const char *hint;
} hints[] = {
    {"the limit of a pipe; headerless samples have none", "--raw"},
    {"AIFF or AU, or headerless samples", "--raw"},
    {"or accept what is there", "--partial"},
    {"convert it with a dictionary, or give token ids", "mega-convert --dict, mega-run --ids"},
    {"a limit of memory that is set allows it", "--max-memory"},
    {"; only arrays can feed it", "mega-run forward"},
    {"with mean and deviation of its pixels, or feed it with arrays",
     "mega-convert --pixel-mean and --pixel-std, mega-run forward"},
    {"with mean and deviation of its sound or pixels, or feed it with arrays",
     "mega-convert --audio-mean and --audio-std, or --pixel-mean and --pixel-std, mega-run "
     "forward"},
    {"a hop needs a window as well", "--hop, --window"},
    {"window, hop and raw samples are for audio", "--window, --hop, --raw"},
    {"token ids are for text", "--ids"},
    {"shorter windows need less", "--window"},
    {"; classify it in windows", "--window"},
    {"; its checksums tell whether the file is damaged", "mega-run verify"},
};

const char *hint_for(const char *sentence)
{
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strstr(sentence, hints[i].words))
            return hints[i].hint;
    return NULL;
}
