//! Sockets as Zig likes them: errors by name, `defer socket.close()`. Who waits does something else meanwhile.

const bh = @import("bulkhead");

/// What the caller does while a socket waits.
pub const Idle = *const fn () void;

/// Why a call failed, or why the socket is closed.
pub const Error = error{
    // Closed, and whose fault it was.
    ClosedByPeer,
    RefusedByPeer,
    ResetByPeer,
    TimedOut,
    NameUnknown,
    ResolverSilent,
    NoRoute,
    Forbidden,
    NetworkLost,
    // The call.
    Busy,
    NothingPending,
    LimitReached,
    Refused,
};

pub const Kind = enum(u32) {
    stream = bh.SOCKET_KIND_STREAM,
    datagram = bh.SOCKET_KIND_DATAGRAM,
};

pub const Socket = struct {
    handle: u32,

    /// Opens a socket and connects it to a name or an address in dots; the hypervisor gives up in time.
    pub fn connect(kind: Kind, host: []const u8, port: u16, idle: Idle) Error!Socket {
        var socket = Socket{ .handle = 0 };
        try socket.check(bh.socket_open(@intFromEnum(kind), &socket.handle));
        errdefer socket.close();
        while (true) : (idle()) {
            const status = bh.socket_connect(socket.handle, host.ptr, host.len, port);
            // Another name may wait for its turn.
            if (status != bh.STATUS_BUSY) {
                try socket.check(status);
                break;
            }
        }
        while (true) : (idle()) {
            const seen = try socket.look();
            switch (seen.state) {
                bh.SOCKET_STATE_CONNECTED, bh.SOCKET_STATE_PEER_DONE => return socket,
                bh.SOCKET_STATE_CLOSED => return because(seen.reason),
                else => {},
            }
        }
    }

    pub fn close(self: Socket) void {
        // The handle is ours, so it is known.
        _ = bh.socket_close(self.handle);
    }

    /// Sends what there is room for, or one whole datagram.
    pub fn send(self: Socket, bytes: []const u8) Error!u32 {
        var sent: u32 = 0;
        try self.check(bh.socket_send(self.handle, bytes.ptr, bytes.len, &sent));
        return sent;
    }

    /// Receives what has arrived, or one whole datagram.
    pub fn receive(self: Socket, buffer: []u8) Error![]u8 {
        var received: u32 = 0;
        try self.check(bh.socket_receive(self.handle, buffer.ptr, buffer.len, &received));
        return buffer[0..received];
    }

    fn look(self: Socket) Error!bh.SocketStatus {
        var seen = bh.SocketStatus{ .version = bh.SOCKET_STATUS_VERSION };
        if (bh.socket_status_read(self.handle, &seen) != bh.STATUS_OK) return error.Refused;
        return seen;
    }

    fn check(self: Socket, status: u32) Error!void {
        return switch (status) {
            bh.STATUS_OK => {},
            bh.STATUS_BUSY => error.Busy,
            bh.STATUS_NOTHING_PENDING => error.NothingPending,
            bh.STATUS_LIMIT_REACHED => error.LimitReached,
            bh.STATUS_NOT_CONNECTED => because((try self.look()).reason),
            else => error.Refused,
        };
    }
};

fn because(reason: u32) Error {
    return switch (reason) {
        bh.SOCKET_REASON_REFUSED_BY_PEER => error.RefusedByPeer,
        bh.SOCKET_REASON_RESET_BY_PEER => error.ResetByPeer,
        bh.SOCKET_REASON_TIMED_OUT => error.TimedOut,
        bh.SOCKET_REASON_NAME_UNKNOWN => error.NameUnknown,
        bh.SOCKET_REASON_RESOLVER_SILENT => error.ResolverSilent,
        bh.SOCKET_REASON_NO_ROUTE => error.NoRoute,
        bh.SOCKET_REASON_FORBIDDEN => error.Forbidden,
        bh.SOCKET_REASON_NETWORK_LOST => error.NetworkLost,
        // A peer that has sent all leaves a stream that is open on our side, without a reason.
        else => error.ClosedByPeer,
    };
}
