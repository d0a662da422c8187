//! Every power cut of an update, and boots from what is left.
//!
//! [`Device`] runs the real engine with real signatures and seals on a shrunken geometry. [`explore`] cuts its
//! power inside and after every flash operation, boots from each state that is left with each way its torn cells
//! can read, cuts again, and checks every start of an application against what the cells really hold: an
//! application that is started on a cell that is torn is an unsafe start, even if the cell happens to read well.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a test suite: a broken expectation fails the test")]

mod bundle;
mod device;
mod explore;

pub use bundle::{AreaOf, Bundle, OWNER, bundle};
pub use device::{DIE_PAGE, Device, Health, Interruption, LAYOUT, Outcome, SECTOR, Server, Started, World};
pub use explore::{Claim, Exploration, Fault, FaultsAre, Limits, explore, replay};
