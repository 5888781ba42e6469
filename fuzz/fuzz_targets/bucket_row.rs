//! Hostile bytes as a bucket's row in the table of data keys.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::keys::BucketRow);
