//! Hostile bytes as a pack's row.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::rows::PackRow);
