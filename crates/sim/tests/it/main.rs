//! The simulator on as many seeds as a test has time for; and that it can fail.
//!
//! Never knows: how a run is made.
