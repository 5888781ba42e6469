//! Tests of the log from outside.

mod appending;
mod attacks;
mod foreign;
mod power;
mod world;
