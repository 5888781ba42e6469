//! Holding file systems still.
//!
//! Never knows: which blocks changed.
