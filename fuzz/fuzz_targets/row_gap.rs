//! Hostile bytes as a gap's row.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::rows::gap::GapRow);
