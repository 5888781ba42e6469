//! Hostile bytes as the table of a pack.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::pack::Table);
