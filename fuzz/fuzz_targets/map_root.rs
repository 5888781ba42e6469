//! Hostile bytes as the root of a run of a map.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::map::Root);
