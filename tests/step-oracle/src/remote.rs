//! GDB's remote protocol as a client: no more of it than stepping needs, without a GDB that guesses in between.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Longest wait for somebody to listen.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Bytes of memory in one packet.
const PIECE: usize = 1024;
/// r0 to r12, sp, lr, pc, xpsr.
pub const REGISTERS: usize = 17;
/// Number of xpsr.
const XPSR: usize = 25;

/// Registers as a trace holds them.
pub type Registers = [u32; REGISTERS];

/// A server of GDB's protocol.
pub struct Remote {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Remote {
    /// Connects to a port of this machine and does what makes `g` carry xpsr.
    ///
    /// # Errors
    /// Nobody listens, or it is no such server.
    pub fn connect(port: u16) -> Result<Self> {
        let started = Instant::now();
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(_) if started.elapsed() < CONNECT_MAX => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(error).context("nobody listens for a debugger"),
            }
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let mut remote = Self { stream, received: Vec::new() };
        remote.ask("qSupported:swbreak+;hwbreak+;vContSupported+")?;
        remote.ask("QStartNoAckMode")?;
        // A server that was asked for its description sends the registers of that, and no others.
        remote.ask("qXfer:features:read:target.xml:0,ffb")?;
        remote.ask("?")?;
        Ok(remote)
    }

    /// Waits no longer than this from now on.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn wait_at_most(&self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// Sends a packet and returns its answer.
    ///
    /// # Errors
    /// No answer came.
    pub fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        self.answer().with_context(|| format!("no answer to `{}`", packet.get(..40).unwrap_or(packet)))
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        self.stream.write_all(format!("${packet}#{sum:02x}").as_bytes())?;
        Ok(())
    }

    /// The next packet that is no text for a person.
    fn answer(&mut self) -> Result<String> {
        loop {
            if let Some(packet) = self.packet() {
                let is_text = packet.starts_with('O') && packet != "OK";
                if !is_text {
                    return Ok(packet);
                }
                continue;
            }
            let mut piece = [0; 4096];
            let len = self.stream.read(&mut piece).context("the server is silent")?;
            if len == 0 {
                bail!("the server hung up");
            }
            self.received.extend_from_slice(&piece[..len]);
        }
    }

    fn packet(&mut self) -> Option<String> {
        let start = self.received.iter().position(|byte| *byte == b'$')?;
        let end = start + self.received[start..].iter().position(|byte| *byte == b'#')?;
        if self.received.len() < end + 3 {
            return None;
        }
        let packet = String::from_utf8_lossy(&self.received[start + 1..end]).into_owned();
        self.received.drain(..end + 3);
        Some(packet)
    }

    fn ordered(&mut self, packet: &str) -> Result<()> {
        match self.ask(packet)?.as_str() {
            "OK" => Ok(()),
            other => bail!("`{}` was answered by `{other}`", packet.get(..60).unwrap_or(packet)),
        }
    }

    /// All registers, asked for.
    ///
    /// # Errors
    /// The server refused.
    pub fn registers(&mut self) -> Result<Registers> {
        let text = self.ask("g")?;
        let mut registers = [0; REGISTERS];
        for (n, register) in registers.iter_mut().enumerate() {
            *register = text.get(8 * n..8 * n + 8).and_then(word).with_context(|| format!("`g`: {text}"))?;
        }
        Ok(registers)
    }

    /// Writes all registers.
    ///
    /// # Errors
    /// The server refused.
    pub fn set_registers(&mut self, registers: &Registers) -> Result<()> {
        let text: String = registers.iter().map(|word| hex(&word.to_le_bytes())).collect();
        self.ordered(&format!("G{text}"))
    }

    /// Reads memory.
    ///
    /// # Errors
    /// The server refused.
    pub fn read(&mut self, address: u32, len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < len {
            let at = address.wrapping_add(u32::try_from(out.len())?);
            let text = self.ask(&format!("m{at:x},{:x}", (len - out.len()).min(PIECE)))?;
            let bytes = unhex(&text).filter(|bytes| !bytes.is_empty());
            out.extend(bytes.with_context(|| format!("reading {at:#x}: `{text}`"))?);
        }
        Ok(out)
    }

    /// Writes memory.
    ///
    /// # Errors
    /// The server refused.
    pub fn write(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        for (at, piece) in (address..).step_by(PIECE).zip(bytes.chunks(PIECE)) {
            self.ordered(&format!("M{at:x},{:x}:{}", piece.len(), hex(piece)))?;
        }
        Ok(())
    }

    /// Sets or clears a breakpoint.
    ///
    /// # Errors
    /// The server refused.
    pub fn breakpoint(&mut self, set: bool, address: u32) -> Result<()> {
        self.ordered(&format!("{}1,{address:x},2", if set { 'Z' } else { 'z' }))
    }

    /// Runs to the next stop; returns its registers.
    ///
    /// # Errors
    /// It did not stop.
    pub fn run(&mut self) -> Result<Registers> {
        self.resume("vCont;c")
    }

    /// One instruction; returns the registers behind it.
    ///
    /// # Errors
    /// It stopped for another reason.
    pub fn step(&mut self) -> Result<Registers> {
        self.resume("vCont;s:1")
    }

    fn resume(&mut self, packet: &str) -> Result<Registers> {
        let stop = self.ask(packet)?;
        let rest = stop.strip_prefix("T05").or_else(|| (stop == "S05").then_some(""));
        let rest = rest.with_context(|| format!("`{packet}` ended in `{stop}`"))?;
        match told(rest) {
            Some(registers) => Ok(registers),
            None => self.registers(),
        }
    }
}

/// The registers that a stop told, if it told all.
fn told(pairs: &str) -> Option<Registers> {
    let mut registers = [None; REGISTERS];
    for pair in pairs.split(';') {
        let Some((number, value)) = pair.split_once(':') else { continue };
        let Ok(number) = usize::from_str_radix(number, 16) else { continue };
        let index = if number == XPSR { REGISTERS - 1 } else { number };
        if let (Some(place), true) = (registers.get_mut(index), index < 16 || number == XPSR) {
            *place = word(value);
        }
    }
    let mut all = [0; REGISTERS];
    for (place, told) in all.iter_mut().zip(registers) {
        *place = told?;
    }
    Some(all)
}

/// Eight digits, the least significant byte first.
fn word(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 8).map(u32::swap_bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_tells_all_registers_or_none() {
        let mut pairs: String = (0..16).map(|n| format!("{n:02x}:{n:02x}000000;")).collect();
        assert_eq!(told(&pairs), None);
        pairs.push_str("1c:01000000;19:00000041;thread:1;");
        let registers = told(&pairs).unwrap();
        assert_eq!((registers[0], registers[15], registers[16]), (0, 15, 0x4100_0000));
    }
}
