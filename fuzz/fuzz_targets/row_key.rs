//! Hostile bytes as a key of the timeline's rows.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::rows::RowKey);
