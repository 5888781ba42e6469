//! The reader against stores that a second small writer makes, whole and
//! damaged. Never knows: the reader's insides, or any other room.

mod damage;
mod encode;
mod faults;
mod fixture;
mod golden;
mod program;
mod total;
mod vault;
mod whole;
