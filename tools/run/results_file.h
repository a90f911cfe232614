/*
 * results_file.h - the file of --results, to which a command prints in place of standard output.
 *
 * It appears complete or not at all. If it is there, the command has nothing to do. A run that
 * failed before it came to its last input (the model is missing, the disk is full) leaves no file;
 * inputs that fail by themselves are results.
 */
#ifndef MEGA_RESULTS_FILE_H
#define MEGA_RESULTS_FILE_H

#include <stdbool.h>

#include "tools/run/shard.h"

/* Directs standard output to the file, if there is one to be made. Returns false if the command
 * must end with *status: the file is there already, or cannot be made. */
bool begin_results(const Shard *shard, int *status);
/* Says that the command went through all of its inputs. */
void all_results_are_there(void);
/* Ends the output, like finish_output. Then the file gets its name if all results are there. */
int finish_results(int status);

#endif
