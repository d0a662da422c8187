/* Starts an application on the virtual board without a hypervisor: gives it what board.toml gives an application, and is
 * gone. What the application measures then is what it measures alone.
 *
 * Its system calls answer BH_STATUS_CALL_UNKNOWN. */
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define SAU_CTRL REGISTER(0xE000EDD0u)
#define SAU_RNR REGISTER(0xE000EDD8u)
#define SAU_RBAR REGISTER(0xE000EDDCu)
#define SAU_RLAR REGISTER(0xE000EDE0u)
#define NVIC_ITNS(n) REGISTER(0xE000E380u + 4u * (n))
#define VTOR_NS REGISTER(0xE002ED08u)
#define NSC 2u
#define ENABLE 1u

/* Security of the SSE-200, and the controller of SSRAM3. */
#define NSCCFG REGISTER(0x50080014u)
#define APBNSPPC0 REGISTER(0x50080070u)
#define APBNSPPCEXP1 REGISTER(0x50080084u)
#define TIMER0 (1u << 0)
#define UART1 (1u << 6)
#define MPC_BLK_MAX REGISTER(0x58009010u)
#define MPC_BLK_IDX REGISTER(0x58009018u)
#define MPC_BLK_LUT REGISTER(0x5800901Cu)

#define APPLICATION 0x80000000u

static void open(uint32_t number, uint32_t base, uint32_t length, uint32_t callable)
{
    SAU_RNR = number;
    SAU_RBAR = base;
    SAU_RLAR = (base + length - 32u) | callable | ENABLE;
}

__attribute__((noreturn)) static void start(void)
{
    open(0, APPLICATION, 0x00100000u, 0);
    open(1, 0x28200000u, 0x00080000u, 0);
    open(2, 0x40201000u, 0x1000u, 0);
    open(3, 0x40000000u, 0x1000u, 0);
    open(4, 0x101FF000u, 0x1000u, NSC);
    SAU_CTRL = ENABLE;
    NSCCFG = 3u;
    APBNSPPC0 |= TIMER0;
    APBNSPPCEXP1 |= UART1;
    for (uint32_t i = 0; i <= MPC_BLK_MAX; i++) {
        MPC_BLK_IDX = i;
        MPC_BLK_LUT = 0xFFFFFFFFu;
    }
    for (uint32_t i = 0; i < 4u; i++) {
        NVIC_ITNS(i) = 0xFFFFFFFFu;
    }
    VTOR_NS = APPLICATION;
    uint32_t stack = REGISTER(APPLICATION), entry = REGISTER(APPLICATION + 4u);
    __asm volatile("msr msp_ns, %0\n dsb\n isb\n bxns %1" : : "r"(stack), "r"(entry & ~1u) : "memory");
    __builtin_unreachable();
}

/* SG, then a branch: eight bytes each, as the hypervisor has them. */
__asm(".section .gateways, \"ax\"\n"
      ".rept 64\n"
      "sg\n"
      "b.w 1f\n"
      ".endr\n"
      "1: movs r0, #5\n"
      "bxns lr\n"
      ".text\n");

__attribute__((section(".vectors"), used)) static void *const vectors[] = {(void *)0x38010000u, (void *)start};
