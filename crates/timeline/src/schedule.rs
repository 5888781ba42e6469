//! Retention schedules.
//!
//! Never knows: points.
