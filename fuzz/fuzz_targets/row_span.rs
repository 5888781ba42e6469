//! Hostile bytes as a span's row.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::rows::SpanRow);
