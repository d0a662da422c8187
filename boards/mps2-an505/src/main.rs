//! Hypervisor image of the virtual board.
#![no_std]
#![no_main]
use bulkhead_armv8m_trustzone as world;
use bulkhead_chip_mps2_an505::Uart;
use bulkhead_hardware_ports::Console;
use core::fmt::Write;
mod board { include!(concat!(env!("OUT_DIR"), "/board.rs")); }
struct W(Uart);
impl Write for W { fn write_str(&mut self, s: &str) -> core::fmt::Result { self.0.write(s); Ok(()) } }
static UART: world::critical::Shared<Option<W>> = world::critical::Shared::new(None);
macro_rules! log { ($($t:tt)*) => { UART.with(|u| { let _ = writeln!(u.as_mut().unwrap(), $($t)*); }) } }
#[panic_handler] fn p(i: &core::panic::PanicInfo<'_>) -> ! { log!("{i}"); loop {} }
#[unsafe(no_mangle)] extern "C" fn bulkhead_main() -> ! {
    UART.with(|u| *u = Some(W(unsafe { Uart::new(board::UART0_BASE) })));
    log!("hello");
    use world::partition::*;
    let mut regions = [SauRegion{base:0,length:0,attribution:Attribution::NonSecure}; 6];
    let mut n=0;
    for (b,l,_) in board::APPLICATION_REGIONS { regions[n]=SauRegion{base:*b,length:*l,attribution:Attribution::NonSecure}; n+=1; }
    for (b,l) in board::APPLICATION_PERIPHERALS { regions[n]=SauRegion{base:*b,length:*l,attribution:Attribution::NonSecure}; n+=1; bulkhead_chip_mps2_an505::assign_peripheral(*b); }
    regions[n]=SauRegion{base:board::GATEWAYS.0,length:board::GATEWAYS.1,attribution:Attribution::Gateways}; n+=1;
    let r = bulkhead_chip_mps2_an505::assign_sram3(bulkhead_chip_mps2_an505::Sram3Share{base:0x28200000,length:0x80000});
    log!("sram3 {r}");
    let mut lines=[world::interrupts::InterruptLine::new(0).unwrap(); 16]; let mut k=0;
    for l in board::APPLICATION_LINES { lines[k]=world::interrupts::InterruptLine::new(*l).unwrap(); k+=1; }
    let r = configure(&regions[..n], &lines[..k]);
    log!("partition {r:?}");
    world::faults::set_application_memory(0x28200000,0x28280000);
    world::start::refuse_application_reset();
    world::tick::start(board::CLOCK_HZ);
    world::switch::enter_idle()
}
#[unsafe(no_mangle)] extern "C" fn bulkhead_tick() { if world::tick::ticks() % 10 == 0 { world::switch::pend_executor(); } }
#[unsafe(no_mangle)] extern "C" fn bulkhead_device_interrupt() { }
#[unsafe(no_mangle)] extern "C" fn bulkhead_gateway(a: u32, b: u32, _c: u32, _d: u32, slot: u32) -> u32 { log!("gw {slot} {a:x} {b:x} {}", world::memory_check::allowed(a, 8, world::memory_check::Intent::Read)); 0 }
#[unsafe(no_mangle)] fn bulkhead_secure_fault(f: world::faults::SecureFault) -> ! { log!("{f:x?}"); world::start::restart() }
#[unsafe(no_mangle)] fn bulkhead_poll(i: world::switch::Interrupted) -> world::switch::Order {
    use world::switch::*;
    static N: world::critical::Shared<(u32,u32)> = world::critical::Shared::new((0,0));
    if let Some(f) = world::faults::take() { log!("fault {f:x?}"); return Order::Stop; }
    let n = N.with(|n| { n.0+=1; if i==Interrupted::Handler {n.1+=1} else {n.1=0}; *n });
    if n.0 % 50 == 0 { log!("poll {} {i:?} now {}", n.0, world::tick::now_us()); }
    if n.1 > 100 { N.with(|n| n.1=0); log!("flood"); return Order::Stop; }
    if i == Interrupted::Stopped && n.0 % 100 == 10 { let rd=|a:u32| unsafe{core::ptr::read_volatile(a as *const u32)};
        log!("start"); return Order::Start { vector_table: 0x80000000, stack_pointer: rd(0x80000000), entry: rd(0x80000004)&!1 }; }
    Order::Continue
}
