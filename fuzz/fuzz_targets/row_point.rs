//! Hostile bytes as a point's row.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::rows::PointRow);
