#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>

/* Reads a table of calls, a seed and a number of rounds from the console, and calls at random. */
void fuzz(void);

#endif
