//! Checkpoints (C2SP tlog-checkpoint): what a log signs: its origin, how many records it has, and the root of their tree.
//!
//! Never knows: how the root came about.

use std::fmt;

use backstay_format::DecodeError;

use crate::base64;
use crate::note::{Note, Signer, number};
use crate::tree::Hash;

/// The object that holds a log's newest checkpoint.
pub const NAME: &str = "checkpoint";

/// What a checkpoint says. Extension lines are refused: nobody could check what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, which is its key's.
    pub origin: String,
    /// How many records the log had.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`DecodeError`]: not in the form of a checkpoint without extensions.
    pub fn decode(text: &str) -> Result<Checkpoint, DecodeError> {
        let mut lines = text.strip_suffix('\n').ok_or(DecodeError::Truncated)?.split('\n');
        let mut line = || lines.next().ok_or(DecodeError::Truncated);
        let (origin, size, root) = (line()?, line()?, line()?);
        if origin.is_empty() {
            return Err(DecodeError::Invalid("origin"));
        }
        let root = base64::decode(root, "root")?.try_into().map_err(|_| DecodeError::Invalid("root"))?;
        match lines.next() {
            Some(_) => Err(DecodeError::Invalid("extension of a checkpoint")),
            None => Ok(Checkpoint { origin: origin.to_owned(), size: number(size, "size")?, root: Hash(root) }),
        }
    }

    /// Reads a signed checkpoint. Says nothing about whether its signatures hold.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn of_note(bytes: &[u8]) -> Result<(Checkpoint, Note), DecodeError> {
        let note = Note::decode(bytes)?;
        Ok((Checkpoint::decode(&note.text)?, note))
    }

    /// Signs it as its log.
    pub fn sign(&self, signer: &Signer) -> Note {
        let text = self.to_string();
        Note { signatures: vec![signer.sign(&text)], text }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, base64::encode(&self.root.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::decode(text).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.root.to_string(), "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62");
        assert_eq!(checkpoint.to_string(), text);
    }

    #[test]
    fn other_forms_are_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        let bad = [
            String::new(),
            "a\n1\n".to_owned(),
            format!("a\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("a\n01\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n18446744073709551616\n{root}\n"),
            format!("a\n1\n{root}\nmore\n"),
            format!("a\n1\n{root}\n\n"),
            "a\n1\nAAAA\n".to_owned(),
        ];
        bad.iter().for_each(|text| assert!(Checkpoint::decode(text).is_err(), "{text:?}"));
    }
}
