//! The agent of a protected machine: it shows a server what the machine's disks hold.
//!
//! The server asks for segments of disks and for chunks of them; this answers. So nothing is decided here but how much may be held in
//! memory, and nothing that the agent says can take anything away: it adds points to one machine's timeline.
//!
//! Never knows: what is in the store, what other machines have, how to read or delete anything, how changes are noticed.

mod answer;
mod following;
mod link;
mod questions;
mod session;

pub use answer::{Reading, Seen};
pub use following::{Following, Found};
pub use link::{AgentError, Enrolled};
pub use session::{Session, Verdict, Welcome};
