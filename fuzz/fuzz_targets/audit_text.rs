//! Hostile text as a signed checkpoint, a proof, a verifier key and the name of a tile.
#![no_main]

use backstay_audit::checkpoint::Checkpoint;
use backstay_audit::note::{Note, VerifierKey};
use backstay_audit::proof_file::ProofFile;
use backstay_audit::tile::TileName;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = Note::decode(bytes) {
        assert_eq!(note.encode(), bytes);
        if let Ok(checkpoint) = Checkpoint::decode(&note.text) {
            assert_eq!(checkpoint.to_string(), note.text);
        }
    }
    if let Ok(proof) = ProofFile::decode(bytes) {
        assert_eq!(proof.encode(), bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = VerifierKey::parse(text).map(|key| assert_eq!(key.to_string(), text));
        TileName::parse(text).into_iter().for_each(|name| assert_eq!(name.path(), text));
    }
});
