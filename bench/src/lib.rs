//! Programs that measure parts of the product that no command line reaches at full size. `cargo xtask bench` runs them
//! and judges their figures.
//!
//! Never knows: the peers.
