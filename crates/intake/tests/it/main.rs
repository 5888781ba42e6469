//! Agents and the intake, over links in memory.

mod lies;
mod points;
mod world;
