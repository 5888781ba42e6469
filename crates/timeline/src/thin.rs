//! Thinning.
//!
//! Never knows: runs.
