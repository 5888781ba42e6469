//! Hostile bytes as a suspension's row.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::rows::gap::SuspensionRow);
