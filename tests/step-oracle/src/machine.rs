//! The application in QEMU, stopped where the oracle takes over, behind QEMU's own debugger.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bulkhead_end_to_end::peers::port_for_a_program;
use bulkhead_virtual_device::{Gdb, Qemu, Running};
use object::{Object as _, ObjectSymbol as _};

use crate::remote::{Registers, Remote};

/// Where the application's own code lies.
pub const FLASH: u32 = 0x8000_0000;

/// The application's program: its code and where its functions are.
#[derive(Clone, Debug)]
pub struct Program {
    symbols: BTreeMap<String, u32>,
    /// What lies in flash from its start.
    pub flash: Vec<u8>,
}

impl Program {
    /// Reads an ELF file.
    ///
    /// # Errors
    /// It is none.
    pub fn read(path: &Path) -> Result<Self> {
        use object::ObjectSegment as _;
        let bytes = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        let file = object::File::parse(&*bytes).context("not an ELF file")?;
        let mut symbols = BTreeMap::new();
        for symbol in file.symbols() {
            if let (Ok(name), Ok(address)) = (symbol.name(), u32::try_from(symbol.address())) {
                // Bit 0 says Thumb.
                let code = symbol.kind() == object::SymbolKind::Text;
                symbols.insert(name.to_owned(), if code { address & !1 } else { address });
            }
        }
        let mut flash = Vec::new();
        for segment in file.segments() {
            if segment.address() == u64::from(FLASH) {
                flash = segment.data()?.to_vec();
            }
        }
        Ok(Self { symbols, flash })
    }

    /// The address of a symbol.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn address(&self, name: &str) -> Result<u32> {
        self.symbols.get(name).copied().with_context(|| format!("the application has no `{name}`"))
    }

    /// Names of the functions whose name begins with `workload_`, without the end of them all.
    pub fn workloads(&self) -> Vec<String> {
        let names = self.symbols.keys().filter(|name| name.starts_with("workload_"));
        names.filter(|name| *name != "workload_end").cloned().collect()
    }
}

/// A device that stands in the application by QEMU's own means.
pub struct Machine {
    /// QEMU's debugger.
    pub remote: Remote,
    qemu: Option<Running>,
}

impl Machine {
    /// Starts `image` on a copy of `memory`, runs to the application and stops there.
    ///
    /// It reaches no server: it would be taken for the device that it is a copy of.
    ///
    /// # Errors
    /// QEMU did not start, or the application was not reached.
    pub fn start(image: &Path, memory: &Path, copy: &Path, program: &Program) -> Result<Self> {
        std::fs::copy(memory, copy).context("failed to copy a device's memory")?;
        let port = port_for_a_program()?;
        let qemu = Qemu::new(image, copy).isolated().gdb(Gdb::PortAndWait(port)).start()?;
        let mut remote = Remote::connect(port)?;
        let stand = program.address("stand")?;
        remote.breakpoint(true, stand)?;
        let registers = remote.run()?;
        remote.breakpoint(false, stand)?;
        if registers[15] != stand {
            bail!("stopped at {:#x} instead of in the application", registers[15]);
        }
        Ok(Self { remote, qemu: Some(qemu) })
    }

    /// Power off.
    pub fn power_off(&mut self) {
        if let Some(qemu) = self.qemu.take() {
            qemu.kill();
        }
    }

    /// The state in which the application was left.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn registers(&mut self) -> Result<Registers> {
        self.remote.registers()
    }
}
