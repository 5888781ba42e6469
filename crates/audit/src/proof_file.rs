//! Proof files (C2SP tlog-proof): that a record is in a log, for somebody who has neither the log nor a network.
//!
//! Never knows: how the record came there.

use backstay_format::DecodeError;

use crate::base64;
use crate::checkpoint::Checkpoint;
use crate::note::{Note, VerifierKey, number};
use crate::proof;
use crate::tree::{Hash, leaf};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// As many levels as a tree has whose size is a u64.
const MOST_HASHES: usize = 64;

/// A proof as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// What goes with it and is not proved.
    pub extra: Option<Vec<u8>>,
    /// The record's number.
    pub index: u64,
    /// Hashes from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

impl ProofFile {
    /// Reads a proof. Says nothing about whether it holds.
    ///
    /// # Errors
    /// [`DecodeError`]: not in the form of a proof.
    pub fn decode(bytes: &[u8]) -> Result<ProofFile, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid("proof"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(DecodeError::Truncated)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(DecodeError::Magic("proof"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(|line| base64::decode(&line["extra ".len()..], "extra data")).transpose()?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(DecodeError::Invalid("index"))?;
        let hash = |line| base64::decode(line, "hash")?.try_into().map(Hash).map_err(|_| DecodeError::Invalid("hash"));
        let path: Vec<Hash> = lines.take(MOST_HASHES + 1).map(hash).collect::<Result<_, _>>()?;
        if path.len() > MOST_HASHES {
            return Err(DecodeError::Invalid("number of hashes"));
        }
        let checkpoint = Note::decode(checkpoint.as_bytes())?;
        Ok(ProofFile { extra, index: number(index, "index")?, path, checkpoint })
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{HEADER}\n");
        self.extra.iter().for_each(|extra| out.push_str(&format!("extra {}\n", base64::encode(extra))));
        out.push_str(&format!("index {}\n", self.index));
        self.path.iter().for_each(|hash| out.push_str(&format!("{}\n", base64::encode(&hash.0))));
        [out.as_bytes(), b"\n", &self.checkpoint.encode()].concat()
    }

    /// Whether it proves that the log of `key` has `record` at [`ProofFile::index`].
    pub fn holds(&self, key: &VerifierKey, record: &[u8]) -> bool {
        let Ok(checkpoint) = Checkpoint::decode(&self.checkpoint.text) else { return false };
        checkpoint.origin == key.name()
            && self.checkpoint.verify(key).is_ok()
            && proof::includes(checkpoint.root, checkpoint.size, self.index, leaf(record), &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{Algorithm, Signer};
    use crate::tree::node;

    #[test]
    fn golden_proof() {
        let signer = Signer::new("log.example", &[7; 32]).unwrap();
        let root = node(leaf(b"a"), leaf(b"b"));
        let note = Checkpoint { origin: "log.example".to_owned(), size: 2, root }.sign(&signer);
        let proof = ProofFile { extra: None, index: 1, path: vec![leaf(b"a")], checkpoint: note.clone() };
        let head = "c2sp.org/tlog-proof@v1\nindex 1\nAippeebat6pa5MPl5F9+l3ESp+Y1k4INvsHsc4ok+Tw=\n\n";
        assert_eq!(proof.encode(), [head.as_bytes(), &note.encode()].concat());
        assert_eq!(ProofFile::decode(&proof.encode()), Ok(proof.clone()));

        let key = signer.verifier_key(Algorithm::Ed25519);
        assert!(proof.holds(&key, b"b") && !proof.holds(&key, b"a"));
        assert!(!ProofFile { index: 0, ..proof.clone() }.holds(&key, b"b"));
        assert!(!proof.holds(&Signer::new("log.example", &[8; 32]).unwrap().verifier_key(Algorithm::Ed25519), b"b"));
        let extra = ProofFile { extra: Some(b"x".to_vec()), ..proof };
        assert_eq!(ProofFile::decode(&extra.encode()), Ok(extra));
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        for text in
            ["", "c2sp.org/tlog-proof@v1\n\n", "c2sp.org/tlog-proof@v1\nindex 00\n\na\n\n", "x\nindex 0\n\na\n1\nb\n\n"]
        {
            assert!(ProofFile::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
