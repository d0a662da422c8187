//! Text without an allocator.

const bh = @import("bulkhead");
const console = @import("console.zig");

/// A line of text that ends where there is no more room.
pub const Line = struct {
    bytes: [96]u8 = undefined,
    len: u32 = 0,

    pub fn text(self: *Line, words: []const u8) void {
        for (words) |byte| {
            if (self.len < self.bytes.len) {
                self.bytes[self.len] = byte;
                self.len += 1;
            }
        }
    }

    pub fn number(self: *Line, value: u32) void {
        var digits: [10]u8 = undefined;
        var first: usize = digits.len;
        var rest = value;
        while (true) {
            first -= 1;
            digits[first] = '0' + @as(u8, @intCast(rest % 10));
            rest /= 10;
            if (rest == 0) break;
        }
        self.text(digits[first..]);
    }

    pub fn log(self: *const Line) void {
        _ = bh.log_write(2, &self.bytes, self.len);
    }

    pub fn print(self: *const Line) void {
        console.write(self.bytes[0..self.len]);
        console.write("\n");
    }
};
