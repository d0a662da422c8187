/* Calls the hypervisor's memory functions with every alignment and many lengths, and compares with what bytes one by one
 * give. Ends with the number of the first difference as the exit status, by semihosting; 0 for none. */
#include <stdint.h>

void *memcpy(void *to, const void *from, unsigned n);
void *memmove(void *to, const void *from, unsigned n);
void *memset(void *to, int byte, unsigned n);
int memcmp(const void *a, const void *b, unsigned n);

#define LONGEST 140
#define ROOM (2 * LONGEST + 16)

static uint8_t got[ROOM], wanted[ROOM];
static uint32_t seed = 1;

static uint8_t next(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint8_t)(seed >> 24);
}

static void refill(void)
{
    for (int i = 0; i < ROOM; i++) {
        got[i] = wanted[i] = next();
    }
}

static int differs(void)
{
    for (int i = 0; i < ROOM; i++) {
        if (got[i] != wanted[i]) {
            return 1;
        }
    }
    return 0;
}

/* A move of n bytes, one by one, by way of a place of its own. */
static void move(int to, int from, int n)
{
    static uint8_t between[LONGEST];
    for (int i = 0; i < n; i++) {
        between[i] = wanted[from + i];
    }
    for (int i = 0; i < n; i++) {
        wanted[to + i] = between[i];
    }
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static int compare(const uint8_t *a, const uint8_t *b, int n)
{
    for (int i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

static int first_difference(void)
{
    for (int n = 0; n < LONGEST; n++) {
        for (int way = 0; way < 16; way++) {
            int a = way & 3, b = LONGEST + 8 + (way >> 2);
            refill();
            move(b, a, n);
            if (memcpy(got + b, got + a, (unsigned)n) != got + b || differs()) {
                return 1;
            }
            refill();
            move(a, b, n);
            if (memmove(got + a, got + b, (unsigned)n) != got + a || differs()) {
                return 2;
            }
            /* Overlapping, both ways. */
            for (int distance = 0; distance < 40; distance += distance < 10 ? 1 : 7) {
                refill();
                move(a + distance, a, n);
                if (memmove(got + a + distance, got + a, (unsigned)n) != got + a + distance || differs()) {
                    return 3;
                }
                refill();
                move(a, a + distance, n);
                if (memmove(got + a, got + a + distance, (unsigned)n) != got + a || differs()) {
                    return 4;
                }
            }
            refill();
            for (int i = 0; i < n; i++) {
                wanted[a + i] = 0xA5;
            }
            if (memset(got + a, 0xFFFFA5, (unsigned)n) != got + a || differs()) {
                return 5;
            }
            /* Equal, and with one byte that is not. */
            refill();
            if (memcmp(got + a, wanted + a, (unsigned)n) != 0) {
                return 6;
            }
            for (int i = 0; i < n; i++) {
                uint8_t before = got[a + i];
                got[a + i] = next();
                if (sign(memcmp(got + a, wanted + a, (unsigned)n)) != compare(got + a, wanted + a, n)) {
                    return 7;
                }
                got[a + i] = before;
            }
            move(b, a, n);
            if (memcmp(wanted + b, got + a, (unsigned)n) != 0) {
                return 8;
            }
        }
    }
    return 0;
}

__attribute__((noreturn)) static void leave(int status)
{
    struct {
        uint32_t reason, status;
    } how = {0x20026u, (uint32_t)status};
    register uint32_t r0 __asm("r0") = 0x20u;
    register void *r1 __asm("r1") = &how;
    __asm volatile("bkpt 0xAB" : : "r"(r0), "r"(r1) : "memory");
    for (;;) {
    }
}

static void start(void)
{
    leave(first_difference());
}

static void fault(void)
{
    leave(99);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    (void *)0x38010000, (void *)start, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault};
