/* What each system call costs. */
#ifndef CALLS_H
#define CALLS_H

/* Measures them one after the other: a line each, then `calls end`. SysTick runs. */
void calls(void);

#endif
