//! The world of a server: agents of several machines stream over links that break to a server that dies.
//!
//! The intake, the vault and the sessions are the real ones, over a simulated home, links and clocks. A run is a row of rounds: in
//! each a server lives until it dies or all agents are content, and agents write to their disks, connect, are cut off and connect
//! again. After each round a vault that is opened anew is held against what the agents were told; after the last, troubles end.
//!
//! # The oracle
//!
//! 1. a point that an agent was told is safe restores bit for bit to what its disks held at that moment, whatever came after;
//! 2. a machine's timeline holds nothing of another machine, and nothing that its agent did not show for it;
//! 3. an agent that knows where the timeline ends, and keeps its marks, is taken at its word: only marked pages are read, and a
//!    timeline does not end elsewhere unless a request of its own went unanswered that may have made it so;
//! 4. after all troubles every agent gets a point of its disks as they are, in a bounded number of attempts;
//! 5. a hostile agent, whose messages are doubled, swapped, lost and mangled, changes none of this, nor damages anything;
//! 6. nobody panics, and on a sound link never do both ends wait for each other;
//! 7. `check` of all data finds nothing, and `verify` reads the same.
//!
//! # What costs nothing
//!
//! The power loss or death of the server at any operation of its home or any message; a full disk, failed operations, clocks that
//! jump at either end; a link that is cut, or deaf in one direction, at any message; two sessions of one machine at once.
//!
//! One seed replays one run: of all sessions and agents only one goes on at a time (see `env::sim::net`). What is not played are
//! turns inside the server's handling of one message: two sessions never commit in the same instant.
//!
//! Never knows: TLS, HTTP, real time.

mod agent;
mod gate;
mod hostile;
mod round;
mod world;

pub use world::run;
