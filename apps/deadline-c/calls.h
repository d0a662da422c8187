/* What each system call costs. */
#ifndef CALLS_H
#define CALLS_H

#include <stdint.h>

/* Measures them one after the other: a line each, then `calls end`. SysTick runs; `connected` is a stream to a peer that
 * sends back what it hears, as does its port `datagrams`. The server has a message for this device, and a value of its
 * configuration. */
void calls(uint32_t connected, uint32_t datagrams);

#endif
