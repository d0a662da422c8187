//! What is typed into the console leads to a peer:
//!
//!   tcp HOST PORT BYTES   connects, sends so many bytes, takes them back and compares
//!   udp HOST PORT BYTES   the same with one datagram
//!
//! Each is answered by a line that begins with its name and ends with `ok BYTES` or the name of what went wrong.

const std = @import("std");
const bh = @import("bulkhead");
const Line = @import("line.zig").Line;
const sockets = @import("socket.zig");
const Socket = sockets.Socket;

const give_up_us = 25_000_000;
/// A datagram may be lost; three are not.
const attempts = 3;
const attempt_us = 3_000_000;

const Failure = sockets.Error || error{ Differs, TooSlow };

var buffer: [bh.SOCKET_DATAGRAM_LEN_MAX]u8 = undefined;

/// Does what a line says. Meanwhile `idle` does everything else.
pub fn obey(line: []const u8, idle: sockets.Idle) void {
    var words = std.mem.tokenizeScalar(u8, line, ' ');
    const name = words.next() orelse return;
    const host = words.next() orelse return;
    const port = std.fmt.parseInt(u16, words.next() orelse return, 10) catch return;
    const total = std.fmt.parseInt(u32, words.next() orelse return, 10) catch return;
    const outcome = if (std.mem.eql(u8, name, "udp")) udp(host, port, total, idle) else tcp(host, port, total, idle);
    var answer = Line{};
    answer.text(name);
    if (outcome) {
        answer.text(" ok ");
        answer.number(total);
    } else |failure| {
        answer.text(" failed: ");
        answer.text(@errorName(failure));
    }
    answer.print();
}

/// The byte that belongs there: another one for each length.
fn byte_at(seed: u32, at: u32) u8 {
    return @truncate((seed +% at) *% 2654435761 >> 24);
}

fn now_us() u64 {
    var now: u64 = 0;
    _ = bh.clock_monotonic_read_us(&now);
    return now;
}

/// Takes bytes that must be those from `at` on.
fn compare(bytes: []const u8, seed: u32, at: u32) Failure!void {
    for (bytes, at..) |byte, place| {
        if (byte != byte_at(seed, @intCast(place))) return error.Differs;
    }
}

/// Both directions flow at the same time: the peer sends back before it has all.
fn tcp(host: []const u8, port: u16, total: u32, idle: sockets.Idle) Failure!void {
    const stream = try Socket.connect(.stream, host, port, idle);
    defer stream.close();
    const until = now_us() + give_up_us;
    var sent: u32 = 0;
    var received: u32 = 0;
    while (received < total) {
        if (now_us() > until) return error.TooSlow;
        const piece = buffer[0..@min(total - sent, bh.SOCKET_TRANSFER_LEN_MAX)];
        for (piece, sent..) |*byte, place| byte.* = byte_at(total, @intCast(place));
        if (piece.len > 0) {
            sent += stream.send(piece) catch |failure| switch (failure) {
                error.Busy => 0,
                else => return failure,
            };
        }
        if (stream.receive(&buffer)) |echo| {
            try compare(echo, total, received);
            received += @intCast(echo.len);
        } else |failure| switch (failure) {
            error.NothingPending => idle(),
            else => return failure,
        }
    }
}

fn udp(host: []const u8, port: u16, total: u32, idle: sockets.Idle) Failure!void {
    const datagrams = try Socket.connect(.datagram, host, port, idle);
    defer datagrams.close();
    if (total > buffer.len) return error.Refused;
    for (0..attempts) |_| {
        for (buffer[0..total], 0..) |*byte, place| byte.* = byte_at(total, @intCast(place));
        _ = try datagrams.send(buffer[0..total]);
        const until = now_us() + attempt_us;
        while (now_us() < until) {
            const echo = datagrams.receive(&buffer) catch |failure| switch (failure) {
                error.NothingPending => {
                    idle();
                    continue;
                },
                else => return failure,
            };
            if (echo.len != total) return error.Differs;
            return compare(echo, total, 0);
        }
    }
    return error.TooSlow;
}
