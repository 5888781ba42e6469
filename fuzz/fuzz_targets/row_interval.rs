//! Hostile bytes as the row of a promised interval.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::rows::gap::IntervalRow);
