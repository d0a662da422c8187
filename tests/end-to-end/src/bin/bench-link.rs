//! `cargo xtask bench link`: bytes on the wire of a full connect and of idle hours.
//!
//! Both ends of the real link talk to each other in one process, on a clock that is moved by hand. Headers of TCP and
//! IP are added by a stated rule: 40 bytes a segment, a segment for each flush, and an acknowledgement of its own for
//! each segment, which is the worst case.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the result of a bench")]

use anyhow::{Context, Result, bail};
use bulkhead_device_gateway::Limits;
use bulkhead_device_identity::public_key;
use bulkhead_figures::{Row, publish, target_folder};
use bulkhead_link_protocol::{
    ApplicationState, BootReason, DeviceMessage, Frame, Hello, LENGTH_PREFIX_LEN, PLAINTEXT_LEN_MAX,
    ServerMessage, Welcome,
};
use bulkhead_link_session::server::{FIRST_LEN, ServerHandshake, ServerKeys, ServerSession};
use bulkhead_link_session::{DeviceSession, Event, Keepalive, LinkKeys};

/// Header bytes of one TCP segment over IPv4, without options.
const SEGMENT_HEADERS: u64 = 40;
/// Bytes of the option that a SYN carries.
const SYN_OPTION: u64 = 4;
/// Keepalive limit that leaves it to the device, which learns how long its network keeps a silent connection.
const LEFT_TO_DEVICE_S: u32 = 0;
const HOUR_MS: u64 = 3_600_000;
const HOURS_A_DAY: u64 = 24;
/// Most turns in which both ends may talk before they fall silent.
const TURNS_MAX: u32 = 100;

/// What crossed the wire.
#[derive(Clone, Copy, Debug, Default)]
struct Wire {
    payload_bytes: u64,
    segments: u64,
}

impl Wire {
    fn carry(&mut self, bytes: &[u8]) {
        self.payload_bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.segments += 1;
    }

    /// With headers and a lone acknowledgement for each segment.
    fn total(self) -> u64 {
        self.payload_bytes + self.segments * 2 * SEGMENT_HEADERS
    }
}

/// Two ends and the wire between.
struct Link {
    device: DeviceSession,
    server: ServerSession,
    wire: Wire,
    now_ms: u64,
    keepalive_max_s: u32,
}

/// The three-way handshake of TCP.
fn tcp_open() -> u64 {
    3 * SEGMENT_HEADERS + 2 * SYN_OPTION
}

impl Link {
    /// Connects, says hello and is welcomed, as a device does; the server allows `keepalive_max_s` of silence.
    fn connect(keepalive_max_s: u32) -> Result<Self> {
        let keys = ServerKeys { current: [3; 32], next: None, realm_id: [5; 16] };
        let link_keys = LinkKeys {
            device_private_key: [7; 32],
            server_public_key: public_key(&keys.current),
            realm_id: keys.realm_id,
        };
        let mut wire = Wire::default();
        let mut device = DeviceSession::new(link_keys, [9; 32], Keepalive::default(), 0);
        device.run_handshake_step(0);
        let first = flush(&mut device);
        wire.carry(&first);
        let first: &[u8; FIRST_LEN] =
            first.as_slice().try_into().context("the first message has another length")?;
        let (answer, server) = ServerHandshake::read(first, &keys)?.accept()?;
        wire.carry(&answer);
        device.receive(&answer, 0);
        device.poll_event(0);
        device.run_handshake_step(0);
        match device.poll_event(0) {
            Some(Event::Established) => {}
            other => bail!("the handshake ended with {other:?}"),
        }
        let hello = Hello {
            hypervisor: env!("CARGO_PKG_VERSION"),
            device_class: "mps2-an505",
            board_revision: 1,
            abi: 1,
            running: Some([0xA5; 32]),
            boot_reason: BootReason::PowerOn,
            application: ApplicationState::Running,
            connect_count: 1,
            fault: None,
            epitaph: None,
            claim_token: None,
            on_trial: None,
            key_set_version: None,
            floors: None,
        };
        if device.send(&DeviceMessage::Hello(hello)).is_err() {
            bail!("the hello was not queued");
        }
        let mut link = Self { device, server, wire, now_ms: 0, keepalive_max_s };
        link.settle()?;
        Ok(link)
    }

    /// Lets both ends talk until neither has anything to say.
    fn settle(&mut self) -> Result<()> {
        for _ in 0..TURNS_MAX {
            let said = flush(&mut self.device);
            if said.is_empty() {
                return Ok(());
            }
            self.wire.carry(&said);
            let answer = self.serve(&said)?;
            if answer.is_empty() {
                continue;
            }
            self.wire.carry(&answer);
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                let taken = self.device.receive(rest, self.now_ms);
                rest = rest.get(taken..).unwrap_or_default();
                while let Some(event) = self.device.poll_event(self.now_ms) {
                    if let Event::Closed(why) = event {
                        bail!("the link closed: {why:?}");
                    }
                }
            }
        }
        bail!("the ends did not fall silent");
    }

    /// The gateway's answers to a flush of the device.
    fn serve(&mut self, said: &[u8]) -> Result<Vec<u8>> {
        let mut answer = Vec::new();
        let mut rest = said;
        while let Some((prefix, after)) = rest.split_first_chunk::<LENGTH_PREFIX_LEN>() {
            let len = ServerSession::ciphertext_len(*prefix)?;
            let (ciphertext, after) = after.split_at_checked(len).context("half a frame")?;
            rest = after;
            let mut plaintext = [0; PLAINTEXT_LEN_MAX];
            let message = match self.server.open(ciphertext, &mut plaintext)? {
                Frame::Known(DeviceMessage::Hello(_)) => ServerMessage::Welcome(Welcome {
                    wall_clock_us: 1_800_000_000_000_000,
                    keepalive_max_s: self.keepalive_max_s,
                    log_level: 2,
                }),
                Frame::Known(DeviceMessage::Ping(ping)) => ServerMessage::Pong(ping),
                _ => continue,
            };
            self.server.seal(&message, &mut answer)?;
        }
        Ok(answer)
    }

    /// Nothing happens but time until `until_ms`.
    fn idle(&mut self, until_ms: u64) -> Result<()> {
        while let Some(due_ms) = self.device.poll_timeout().filter(|due_ms| *due_ms <= until_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            self.device.handle_timeout(self.now_ms);
            self.settle()?;
        }
        self.now_ms = until_ms;
        Ok(())
    }
}

fn flush(device: &mut DeviceSession) -> Vec<u8> {
    let mut out = vec![0; 4096];
    let len = device.poll_transmit(&mut out);
    out.truncate(len);
    out
}

const TLS: &str = "mutual TLS 1.3, P-256, published";
const DTLS: &str = "DTLS, ping every 25 s, 9 MB a month, published";

fn measure() -> Result<Vec<Row>> {
    let connect = Link::connect(LEFT_TO_DEVICE_S)?.wire;
    // What the gateway tells devices unless it is configured otherwise.
    let limit_s = u32::try_from(Limits::default().keepalive.as_secs())?;
    let (payload, segments) = (connect.payload_bytes, connect.total() + tcp_open());
    Ok(vec![
        Row::count("connect, payload of TCP", payload, "bytes", TLS, Some(2_100)),
        Row::count("connect, with TCP/IPv4", segments, "bytes", TLS, Some(2_100)),
        idle_hour("idle hour, server's default", limit_s)?,
        idle_hour("idle hour, left to the device", LEFT_TO_DEVICE_S)?,
    ])
}

/// The mean of a day.
fn idle_hour(name: &str, keepalive_max_s: u32) -> Result<Row> {
    let mut link = Link::connect(keepalive_max_s)?;
    let connect = link.wire.total();
    link.idle(HOURS_A_DAY * HOUR_MS)?;
    let value = (link.wire.total() - connect) / HOURS_A_DAY;
    Ok(Row::count(name, value, "bytes", DTLS, Some(12_500)))
}

fn main() -> Result<()> {
    print!("{}", publish(&target_folder(), "link", &measure()?)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_costs_less_than_a_quarter_of_tls_without_headers() {
        let link = Link::connect(LEFT_TO_DEVICE_S).unwrap();
        assert!(link.wire.payload_bytes > 144, "the handshake alone is 144 bytes");
        assert!(link.wire.payload_bytes < 525, "{} bytes", link.wire.payload_bytes);
    }

    #[test]
    fn an_idle_link_stays_up_for_a_month_below_its_budget() {
        let mut link = Link::connect(LEFT_TO_DEVICE_S).unwrap();
        link.idle(30 * HOURS_A_DAY * HOUR_MS).unwrap();
        assert!(link.device.is_established());
        assert!(link.wire.total() < 400_000, "{} bytes", link.wire.total());
    }
}
