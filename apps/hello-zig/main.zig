//! Bare-metal Zig: its own start-up code and vector table, SysTick counts, the log goes through the hypervisor, and lines
//! that are typed into its console lead to peers.

const bh = @import("bulkhead");
const console = @import("console.zig");
const Line = @import("line.zig").Line;
const talk = @import("talk.zig");

const ticks_per_second = 100;
/// What `boards/mps2-an505` is clocked with, in ticks of a hundredth of a second.
const cycles_per_tick = 20_000_000 / ticks_per_second;
/// The line on which the hypervisor announces news.
const news_line = 80;

// Places that the linker script names.
extern var _stack_top: u32;
extern var _data_load: u32;
extern var _data_start: u32;
extern var _data_end: u32;
extern var _bss_start: u32;
extern var _bss_end: u32;

const Handler = *const fn () callconv(.c) void;
const Vectors = extern struct { stack: *u32, handlers: [15 + 96]Handler };

export const vectors: Vectors linksection(".vectors") = .{
    .stack = &_stack_top,
    .handlers = handlers(),
};

fn handlers() [15 + 96]Handler {
    @setEvalBranchQuota(10000);
    var all: [15 + 96]Handler = undefined;
    for (&all) |*handler| handler.* = &default_handler;
    all[0] = &reset_handler;
    all[14] = &systick_handler;
    all[15 + news_line] = &news_handler;
    return all;
}

/// A handler that nobody wrote stops here; the hypervisor notices and restarts the application.
export fn default_handler() callconv(.c) void {
    while (true) {}
}

var ticks: u32 = 0;
var news: u32 = 0;

export fn systick_handler() callconv(.c) void {
    increment(&ticks);
}

export fn news_handler() callconv(.c) void {
    increment(&news);
}

fn increment(counter: *volatile u32) void {
    counter.* = counter.* +% 1;
}

fn current(counter: *const volatile u32) u32 {
    return counter.*;
}

fn register(address: usize) *volatile u32 {
    return @ptrFromInt(address);
}

export fn reset_handler() callconv(.c) void {
    const data: [*]volatile u32 = @ptrCast(&_data_start);
    const load: [*]const volatile u32 = @ptrCast(&_data_load);
    const n_data = (@intFromPtr(&_data_end) - @intFromPtr(&_data_start)) / 4;
    for (0..n_data) |index| data[index] = load[index];
    const zeroed: [*]volatile u32 = @ptrCast(&_bss_start);
    const n_zeroed = (@intFromPtr(&_bss_end) - @intFromPtr(&_bss_start)) / 4;
    for (0..n_zeroed) |index| zeroed[index] = 0;
    run();
}

/// Says which second it is. Out of line, so that a breakpoint has a place.
export fn tell_second(second: u32) callconv(.c) void {
    var line = Line{};
    line.text("hello-zig second ");
    line.number(second);
    line.text(", news ");
    line.number(current(&news));
    line.log();
}

fn take_notifications() void {
    var notification = bh.Notification{};
    while (bh.notification_next(&notification) == bh.STATUS_OK) {
        var line = Line{};
        line.text("hello-zig notified of ");
        line.number(notification.kind);
        line.log();
        if (notification.kind == bh.NOTIFICATION_UPDATE_READY) {
            line = .{};
            line.text("hello-zig: update is staged, applying it now");
            line.log();
            // Between the notification and now the owner may have withdrawn it.
            _ = bh.update_apply_now();
        }
    }
}

fn run() noreturn {
    register(0xE000E014).* = cycles_per_tick - 1;
    register(0xE000E018).* = 0;
    register(0xE000E010).* = 7;
    register(0xE000E100 + news_line / 32 * 4).* = 1 << (news_line % 32);
    _ = bh.notification_enable(news_line);
    var reason: u32 = 0;
    _ = bh.wake_reason_read(&reason);
    var line = Line{};
    line.text("hello-zig starts, wake reason ");
    line.number(reason);
    line.log();
    console.start();
    while (true) {
        work();
        if (console.read_line()) |typed| talk.obey(typed, &work);
    }
}

var seconds: u32 = 0;
/// How often the line was raised until the notifications were last taken.
var heard: u32 = 0;

/// Sleeps until something happens, and sees to what the application does besides talking.
fn work() void {
    asm volatile ("wfi");
    if (current(&ticks) / ticks_per_second > seconds) {
        seconds += 1;
        @call(.never_inline, tell_second, .{seconds});
    }
    // What comes after this look raises the line again.
    if (current(&news) != heard) {
        heard = current(&news);
        take_notifications();
    }
}
