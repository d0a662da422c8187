//! UART 1 of the virtual board, the application's own console.

const Uart = extern struct {
    data: u32,
    state: u32,
    control: u32,
    interrupt: u32,
    divider: u32,
};

const uart: *volatile Uart = @ptrFromInt(0x40201000);
const transmit_full = 1;
const receive_full = 2;

pub fn start() void {
    uart.divider = 174; // 115,200 baud at 20 MHz
    uart.control = 3; // transmit and receive
}

pub fn write(text: []const u8) void {
    for (text) |byte| {
        while (uart.state & transmit_full != 0) {}
        uart.data = byte;
    }
}

fn read() ?u8 {
    return if (uart.state & receive_full != 0) @truncate(uart.data) else null;
}

var typed: [320]u8 = undefined;
var typed_len: usize = 0;

/// A whole line without its end, once one was typed. It is good until the next call.
pub fn read_line() ?[]const u8 {
    while (read()) |byte| {
        if (byte == '\n') {
            defer typed_len = 0;
            return typed[0..typed_len];
        }
        if (typed_len < typed.len) {
            typed[typed_len] = byte;
            typed_len += 1;
        }
    }
    return null;
}
