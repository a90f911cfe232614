/*
 * s4.h - declares the families of S4's models, by release and by program.
 */
#ifndef MEGA_CONVERT_S4_H
#define MEGA_CONVERT_S4_H

#include "src/layers/s4.h"
#include "src/layers/s4_config.h"
#include "tools/convert/families/detection.h"

int detect_s4(Detection *detection);
int detect_s4_release3(Detection *detection);
int detect_s4_release2(Detection *detection);
int detect_s4d(Detection *detection);
int detect_s4_example(Detection *detection);
int detect_s4_example3(Detection *detection);
int detect_s4_example2(Detection *detection);
int detect_s4d_example(Detection *detection);

/* Refuses, by its name, an argument of the framework that asks for what this version cannot run. */
int s4_refuse(const Detection *detection);
/* Returns a section of the framework's arguments, or NULL. */
const json_t *s4_section(const json_t *args, const char *name);

#endif
