//! Hostile bytes as a record of the audit log: what is read is what would be written, byte for byte.
#![no_main]

use backstay_audit::names::Salted;
use backstay_audit::record::Record;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::decode(bytes) {
        assert_eq!(record.encode(), bytes);
    }
    if let Ok(salted) = Salted::decode(bytes) {
        assert_eq!(salted.encode(), bytes);
    }
});
