//! Tests of the log from outside.

mod appending;
mod power;
mod world;
