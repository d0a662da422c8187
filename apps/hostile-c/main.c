/* An application that attacks the hypervisor, one crime for each character received on its console.
 *
 * A `!` begins a row of the attack matrix, see matrix.h; a `#` begins random calls, see fuzz.c. Used by tests/world-isolation and by the demo. Crimes that end the application are named on the console before
 * they are committed; crimes that must be refused print `refused` or `ESCAPED`. */
#include "bh_console.h"
#include "bulkhead.h"
#include "fuzz.h"
#include "matrix.h"

#define SECURE_MEMORY 0x38000000u
#define SECURE_CODE 0x10000000u
#define SECURE_UART 0x50200000u
#define SECURE_UART_OTHER_ALIAS 0x40200000u
#define SECURE_PART_OF_NVM 0x80110000u
#define NOWHERE 0x60000000u
#define NVIC_ISER(n) (*(volatile uint32_t *)(0xE000E100u + (n) / 32u * 4u))
#define NVIC_ISPR(n) (*(volatile uint32_t *)(0xE000E200u + (n) / 32u * 4u))
#define AIRCR (*(volatile uint32_t *)0xE000ED0Cu)
#define VTOR (*(volatile uint32_t *)0xE000ED08u)
#define VTOR_SECURE_ALIAS 0xE002ED08u
#define ICSR (*(volatile uint32_t *)0xE000ED04u)
#define ICSR_PENDNMISET (1u << 31)
#define MPU_CTRL (*(volatile uint32_t *)0xE000ED94u)
#define MPU_RNR (*(volatile uint32_t *)0xE000ED98u)
#define MPU_RBAR (*(volatile uint32_t *)0xE000ED9Cu)
#define MPU_RLAR (*(volatile uint32_t *)0xE000EDA0u)
#define STIR (*(volatile uint32_t *)0xE000EF00u)
/* Addresses to which a branch is a return: from an exception, from a function of the secure world. */
#define EXC_RETURN_SECURE_THREAD 0xFFFFFFFDu
#define EXC_RETURN_SECURE_THREAD_FROM_HERE 0xFFFFFFFCu
#define EXC_RETURN_OWN_THREAD 0xFFFFFFBCu
#define FNC_RETURN 0xFEFFFFFFu
/* At the end of the gateways' page: where its interrupts arrive while the hypervisor's thread runs. */
#define DOOR (BH_BOARD_GATEWAYS + 0x1000u - 8u)
#define DOOR_TABLE (BH_BOARD_RAM_BASE + BH_BOARD_RAM_LENGTH)
#define LINE BH_BOARD_SOFTWARE_INTERRUPT_0
#define BIT(n) (1u << ((n) % 32u))

static volatile enum { PEND_AGAIN, NEVER_LEAVE, FAULT, FORGE, FORGE_IN_GATEWAY, ENTER_DOOR } in_handler;
static volatile uint32_t forged;
static volatile uint32_t sink;

static uint32_t read_at(uint32_t address)
{
    return *(volatile uint32_t *)address;
}

static void write_at(uint32_t address, uint32_t value)
{
    *(volatile uint32_t *)address = value;
}

static void jump_to(uint32_t address)
{
    ((void (*)(void))(address | 1u))();
}

static void branch_to(uint32_t magic)
{
    __asm volatile("bx %0" : : "r"(magic));
}

/* A system call whose return address is a magic value: the secure world would be the one that branches to it. */
static void call_returning_to(uint32_t magic)
{
    __asm volatile("mov lr, %0\n bx %1" : : "r"(magic), "r"(BH_GATEWAY(0u)) : "lr", "memory");
}

void software0_handler(void)
{
    if (matrix_handler(LINE)) {
        return;
    }
    switch (in_handler) {
    case PEND_AGAIN:
        NVIC_ISPR(LINE) = BIT(LINE);
        break;
    case NEVER_LEAVE:
        for (;;) {
        }
    case FAULT:
        write_at(SECURE_MEMORY, 1);
        break;
    case FORGE:
        branch_to(forged);
        break;
    case FORGE_IN_GATEWAY:
        call_returning_to(forged);
        break;
    case ENTER_DOOR:
        jump_to(DOOR);
        break;
    }
}

static void interrupt(int what)
{
    in_handler = what;
    NVIC_ISER(LINE) = BIT(LINE);
    NVIC_ISPR(LINE) = BIT(LINE);
    for (;;) {
    }
}

static void forge(int where, uint32_t magic)
{
    forged = magic;
    interrupt(where);
}

#pragma GCC diagnostic ignored "-Winfinite-recursion" /* That is the crime. */
__attribute__((noinline)) static uint32_t recurse(uint32_t depth)
{
    volatile uint32_t frame[64];
    frame[depth % 64] = depth;
    return recurse(depth + 1) + frame[0];
}

/* The same, slowly: the stack pointer itself is put where it must not be, and used by the next interrupt. */
static void stack_into(uint32_t address)
{
    __asm volatile("msr msplim, %0\n msr msp, %1\n1: b 1b" : : "r"(0), "r"(address));
}

/* A fault with a history, for whoever opens the crash: calls, a local, and words that only RAM holds. */
struct parcel {
    uint32_t pages;
    uint32_t stamp;
};

static volatile uint32_t diary[4096];

__attribute__((noinline)) static uint32_t weigh(const volatile uint32_t *letter, uint32_t pages)
{
    uint32_t weight = 0;
    for (uint32_t page = 0; page < pages; page++) {
        weight += letter[page];
    }
    return weight;
}

__attribute__((noinline)) static uint32_t post(uint32_t pages)
{
    volatile struct parcel parcel = {.pages = pages, .stamp = 0x5EA1u};
    for (uint32_t i = 0; i < sizeof diary / sizeof *diary; i++) {
        diary[i] = (i + 1u) * 0x9E3779B1u ^ 0xA5A5A5A5u;
    }
    uint32_t weight = weigh((const volatile uint32_t *)SECURE_MEMORY, parcel.pages);
    return weight + parcel.stamp;
}

static void verdict(int refused)
{
    bh_console_write(refused ? "refused\n" : "ESCAPED\n");
}

static void wild_pointers(void)
{
    static const uint32_t wild[] = {
        0, 4, SECURE_CODE, SECURE_MEMORY, SECURE_UART, SECURE_UART_OTHER_ALIAS, SECURE_PART_OF_NVM, NOWHERE, 0xE000ED08u,
        BH_BOARD_RAM_BASE - 4u, BH_BOARD_RAM_BASE + BH_BOARD_RAM_LENGTH - 4u, 0xFFFFFFFCu, 0xFFFFFFF8u,
        BH_BOARD_FLASH_BASE + 64u, BH_BOARD_EXTERNAL_BASE, BH_BOARD_GATEWAYS,
        BH_BOARD_UART1_BASE, BH_BOARD_UART1_BASE + 0xF00u, BH_BOARD_TIMER0_BASE, /* its own, but no memory */
    };
    int refused = 1;
    for (uint32_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        refused &= bh_clock_monotonic_read_us((uint64_t *)wild[i]) == BH_STATUS_POINTER_REFUSED;
        refused &= bh_device_id_read((char *)wild[i], BH_DEVICE_ID_LEN) == BH_STATUS_POINTER_REFUSED;
        refused &= bh_notification_next((struct bh_notification *)wild[i]) != BH_STATUS_OK;
        if (wild[i] != BH_BOARD_FLASH_BASE + 64u && wild[i] != BH_BOARD_EXTERNAL_BASE) {
            refused &= bh_log_write(2, (const char *)wild[i], 64) == BH_STATUS_POINTER_REFUSED;
        }
    }
    refused &= bh_log_write(2, (const char *)BH_BOARD_RAM_BASE, 0xFFFFFFFFu) != BH_STATUS_OK;
    refused &= bh_log_write(99, "level", 5) == BH_STATUS_ARGUMENT_REFUSED;
    refused &= bh_notification_enable(48) == BH_STATUS_ARGUMENT_REFUSED;
    /* Slots that this hypervisor does not have. */
    refused &= ((bh_status (*)(void))BH_GATEWAY(63u))() == BH_STATUS_CALL_UNKNOWN;
    verdict(refused);
}

#define HOLE_BYTES 32u
/* Five granules each side of one: long ranges are looked at in another way than short ones. */
static uint8_t around_hole[11u * HOLE_BYTES] __attribute__((aligned(HOLE_BYTES)));
#define HOLE ((uint32_t)around_hole + 5u * HOLE_BYTES)
#define LOG_BYTES_MAX 256u

static void mpu_region(uint32_t number, uint32_t base, uint32_t end, uint32_t access)
{
    MPU_RNR = number;
    MPU_RBAR = base | access;
    MPU_RLAR = ((end - 1u) & ~0x1Fu) | 1u;
}

/* What its own MPU keeps from itself, in the midst of a range, the hypervisor keeps from it as well: a gap between two
 * regions, where two lie over each other, one that may be read alone. What ends before the hole, or begins behind it, is
 * served; where there is none, all is. The region that the application has selected stays selected. */
enum hole { NO_HOLE, NOT_WRITTEN, NOT_READ };

static int is_right(bh_status status, uint32_t from, uint32_t length, int is_refused)
{
    int over_hole = from < HOLE + HOLE_BYTES && from + length > HOLE;
    return over_hole && is_refused ? status == BH_STATUS_POINTER_REFUSED
                                   : status == BH_STATUS_OK || status == BH_STATUS_BUSY;
}

static int hole_is_seen(enum hole hole)
{
    enum { SELECTED = 6u };
    __asm volatile("dsb\n isb");
    MPU_RNR = SELECTED;
    int seen = 1;
    uint32_t end = (uint32_t)around_hole + sizeof around_hole;
    for (uint32_t from = (uint32_t)around_hole; from < end; from += 7u) {
        for (uint32_t length = 1u; length <= LOG_BYTES_MAX && from + length <= end; length += 5u) {
            seen &= is_right(bh_log_write(4, (const char *)from, length), from, length, hole == NOT_READ);
        }
        if (from + BH_DEVICE_ID_LEN <= end) {
            bh_status status = bh_device_id_read((char *)from, BH_DEVICE_ID_LEN);
            seen &= is_right(status, from, BH_DEVICE_ID_LEN, hole != NO_HOLE);
        }
    }
    return seen && MPU_RNR == SELECTED;
}

static void holes_of_its_own(void)
{
    enum { READ_WRITE = 1u << 1, READ_ONLY = 3u << 1 };
    uint32_t ram = BH_BOARD_RAM_BASE, ram_end = ram + BH_BOARD_RAM_LENGTH;
    mpu_region(0, BH_BOARD_FLASH_BASE, BH_BOARD_FLASH_BASE + BH_BOARD_FLASH_LENGTH, READ_ONLY);
    mpu_region(1, ram, HOLE, READ_WRITE);
    mpu_region(2, HOLE + HOLE_BYTES, ram_end, READ_WRITE);
    mpu_region(3, BH_BOARD_UART1_BASE, BH_BOARD_UART1_BASE + 0x1000u, READ_WRITE | 1u);
    mpu_region(4, BH_BOARD_GATEWAYS, BH_BOARD_GATEWAYS + 0x1000u, READ_ONLY);
    MPU_CTRL = 1u;
    int seen = hole_is_seen(NOT_READ);
    mpu_region(5, HOLE, HOLE + HOLE_BYTES, READ_ONLY);
    seen &= hole_is_seen(NOT_WRITTEN);
    MPU_RNR = 5;
    MPU_RLAR = 0;
    mpu_region(1, ram, HOLE + HOLE_BYTES, READ_WRITE);
    seen &= hole_is_seen(NO_HOLE);
    mpu_region(2, HOLE, ram_end, READ_WRITE);
    seen &= hole_is_seen(NOT_READ);
    MPU_CTRL = 0;
    __asm volatile("dsb\n isb");
    verdict(seen && bh_device_id_read((char *)(HOLE - 1u), BH_DEVICE_ID_LEN) == BH_STATUS_OK);
}

static bh_status ended(void)
{
    bh_status status;
    do {
        status = bh_storage_result_read(0, 0);
    } while (status == BH_STATUS_BUSY);
    return status;
}

/* Area 3 is its own, two sectors long, and lies between others; nothing else can be named. */
static void wild_storage(void)
{
    static const uint32_t wild[] = {
        0, 4, SECURE_CODE, SECURE_MEMORY, SECURE_UART, SECURE_PART_OF_NVM, NOWHERE, BH_BOARD_RAM_BASE - 4u,
        BH_BOARD_RAM_BASE + BH_BOARD_RAM_LENGTH - 4u, 0xFFFFFFFCu, BH_BOARD_GATEWAYS, BH_BOARD_UART1_BASE,
    };
    static const uint32_t offsets[] = {0x2000u, 0x1FFFu, 0x2001u, 0x10000u, 0x780000u, 0xFFF80000u, 0xFFFFFFFFu};
    static const uint32_t areas[] = {0, 1, 2, 4, 8, 0x80000u, 0xFFFFFFFFu};
    struct bh_storage_info info = {.version = BH_STORAGE_INFO_VERSION};
    int refused = bh_storage_info_read(3, &info) == BH_STATUS_OK && info.length_bytes == 0x2000u;
    for (uint32_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        refused &= bh_storage_write(3, 0, (const void *)wild[i], 64) == BH_STATUS_POINTER_REFUSED;
        refused &= bh_storage_info_read(3, (struct bh_storage_info *)wild[i]) != BH_STATUS_OK;
    }
    for (uint32_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        refused &= bh_storage_read(3, offsets[i], 2) == BH_STATUS_ARGUMENT_REFUSED;
        refused &= bh_storage_write(3, offsets[i], "xx", 2) == BH_STATUS_ARGUMENT_REFUSED;
        refused &= bh_storage_erase(3, offsets[i]) == BH_STATUS_ARGUMENT_REFUSED;
    }
    for (uint32_t i = 0; i < sizeof areas / sizeof *areas; i++) {
        refused &= bh_storage_read(areas[i], 0, 2) == BH_STATUS_ARGUMENT_REFUSED;
        refused &= bh_storage_erase(areas[i], 0) == BH_STATUS_ARGUMENT_REFUSED;
    }
    refused &= bh_storage_read(3, 0, 257) == BH_STATUS_ARGUMENT_REFUSED;
    refused &= bh_storage_read(3, 0, 0xFFFFFFFFu) == BH_STATUS_ARGUMENT_REFUSED;
    refused &= bh_storage_result_read(0, 0) == BH_STATUS_NOTHING_PENDING;
    /* What was read goes nowhere but into its own RAM, and waits until it does. */
    refused &= bh_storage_read(3, 0, 64) == BH_STATUS_OK;
    refused &= bh_storage_erase(3, 0) == BH_STATUS_BUSY;
    for (uint32_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        bh_status status;
        do {
            status = bh_storage_result_read((void *)wild[i], 64);
        } while (status == BH_STATUS_BUSY);
        refused &= status == BH_STATUS_POINTER_REFUSED;
    }
    refused &= ended() == BH_STATUS_BUFFER_TOO_SMALL;
    static char room[64];
    refused &= bh_storage_result_read(room, sizeof room) == BH_STATUS_OK;
    verdict(refused);
}

/* As fast as it can: flash wears, which is its own loss; the link does not notice. */
static void wear_out_its_area(void)
{
    int refused = 1;
    for (uint32_t i = 0; i < 200; i++) {
        refused &= bh_storage_erase(3, i % 2u * 0x1000u) == BH_STATUS_OK;
        refused &= bh_storage_erase(3, 0) == BH_STATUS_BUSY;
        refused &= ended() == BH_STATUS_OK;
    }
    verdict(refused);
}

/* Registers that the hypervisor used must not come back. */
static void look_at_leftovers(void)
{
    uint32_t r1, r2, r3, r12;
    __asm volatile("movs r0, #0\n blx %4\n mov %0, r1\n mov %1, r2\n mov %2, r3\n mov %3, r12\n"
                   : "=&r"(r1), "=&r"(r2), "=&r"(r3), "=&r"(r12)
                   : "r"(BH_GATEWAY(0u))
                   : "r0", "r1", "r2", "r3", "r12", "lr", "cc", "memory");
    verdict((r1 | r2 | r3 | r12) == 0);
}

static void ask_for_reset(void)
{
    AIRCR = 0x05FA0004u;
    for (volatile int i = 0; i < 100000; i++) {
    }
    verdict(1);
}

/* Interrupts of the hypervisor cannot be seen, masked or pended from here. */
static void touch_foreign_interrupts(void)
{
    *(volatile uint32_t *)0xE000E184u = 0xFFFFFFFFu; /* ICER1: line 48 is the Ethernet controller's. */
    NVIC_ISPR(48u) = BIT(48u);
    verdict((NVIC_ISPR(48u) & BIT(48u)) == 0 && (NVIC_ISER(48u) & BIT(48u)) == 0);
}

/* Secure exceptions and registers are out of reach even through the addresses that pend and select them. */
static void touch_foreign_exceptions(void)
{
    ICSR = ICSR_PENDNMISET;
    STIR = 48u;
    write_at(VTOR_SECURE_ALIAS, BH_BOARD_RAM_BASE);
    verdict((ICSR & ICSR_PENDNMISET) == 0 && (NVIC_ISPR(48u) & BIT(48u)) == 0 && read_at(VTOR_SECURE_ALIAS) == 0);
}

/* More than the link can carry: what does not fit is refused, and the link has other things to do as well. */
static void flood_the_log(void)
{
    static const char text[BH_LOG_TEXT_LEN_MAX] = {'x'};
    int refused = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        refused |= bh_log_write(2, text, sizeof text) == BH_STATUS_BUSY;
    }
    verdict(refused);
}

static void commit(int crime)
{
    switch (crime) {
    case 'a': sink = read_at(SECURE_MEMORY); break;
    case 'b': write_at(SECURE_MEMORY, 0); break;
    case 'c': write_at(SECURE_UART, 'x'); break;
    case 'd': write_at(SECURE_UART_OTHER_ALIAS, 'x'); break;
    case 'e': sink = read_at(SECURE_PART_OF_NVM); break;
    case 'f': jump_to(NOWHERE); break;
    case 'g': jump_to(SECURE_CODE + 0x400u); break;
    case 'h': jump_to(BH_BOARD_GATEWAYS + 4u); break;
    case 'i': sink = recurse(0); break;
    case 'j': stack_into(SECURE_MEMORY + 0x1000u); break;
    case 'k': interrupt(PEND_AGAIN); break;
    case 'l': interrupt(NEVER_LEAVE); break;
    case 'm': interrupt(FAULT); break;
    case 'n': __asm volatile("cpsid i\n1: b 1b"); break;
    case 'o': __asm volatile("cpsid f\n1: b 1b"); break;
    case 'p': __asm volatile("udf #1"); break;
    case 'q': __asm volatile("bkpt #0"); break;
    case 'r': VTOR = SECURE_MEMORY; interrupt(NEVER_LEAVE); break;
    case 's': __asm volatile("mvn r0, #2\n bx r0"); break; /* a forged exception return */
    case 't': call_returning_to(EXC_RETURN_OWN_THREAD); break;
    case 'u': call_returning_to(FNC_RETURN); break;
    case 'v': forge(FORGE_IN_GATEWAY, EXC_RETURN_SECURE_THREAD); break;
    case 'w': forge(FORGE, EXC_RETURN_SECURE_THREAD_FROM_HERE); break;
    case 'x': forge(FORGE, EXC_RETURN_SECURE_THREAD); break;
    case 'y': branch_to(FNC_RETURN); break;
    case 'z': MPU_CTRL = 3u; break; /* A memory protection unit without regions: nothing is allowed. */
    case '*': sink = post(41) + sink; break;
    case '1': jump_to(DOOR); break;
    case '2': interrupt(ENTER_DOOR); break;
    case '3': write_at(DOOR_TABLE + 4u * 16u, DOOR); break;
    case 'A': wild_pointers(); return;
    case 'B': look_at_leftovers(); return;
    case 'C': ask_for_reset(); return;
    case 'D': touch_foreign_interrupts(); return;
    case 'E': touch_foreign_exceptions(); return;
    case 'F': flood_the_log(); return;
    case 'G': wild_storage(); return;
    case 'H': wear_out_its_area(); return;
    case 'I': holes_of_its_own(); return;
    default: bh_console_write("unknown crime\n"); return;
    }
    verdict(0); /* Nothing above may come back. */
}

int main(void)
{
    bh_console_start();
    bh_console_write("\n"); /* Whoever was here before may have been stopped in the middle of a line. */
    bh_console_write(matrix_registers_changed() ? "hostile finds a world that is not fresh\n" : "hostile ready\n");
    bh_log_text(2, "hostile application starts");
    for (;;) {
        int crime = bh_console_read();
        if (crime == '!') {
            matrix_row();
        } else if (crime == '#') {
            fuzz();
        } else if (crime > ' ') {
            char name[] = "crime ?\n";
            name[6] = (char)crime;
            sink = 0;
            bh_console_write(name);
            commit(crime);
        }
    }
}
