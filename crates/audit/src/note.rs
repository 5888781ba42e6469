//! Signed notes and verifier keys (C2SP signed-note), with plain Ed25519 signatures and timestamped cosignatures.
//!
//! Never knows: what a note says, or whose keys are to be trusted.

use std::fmt;

use backstay_format::DecodeError;
use ed25519_dalek::{Signature as Ed25519, Signer as _, SigningKey, VerifyingKey};

use crate::base64;
use crate::tile::decimal;
use crate::tree::sha256;

/// More signatures than anybody needs; the specification asks for 16.
const MOST_SIGNATURES: usize = 64;
/// More bytes than anybody needs.
const MOST_BYTES: usize = 1 << 20;
const DASH: &str = "\u{2014} ";

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 over the text: how a log signs.
    Ed25519,
    /// Ed25519 over a time and the text: how a cosigner signs.
    Cosignature,
}

impl Algorithm {
    fn byte(self) -> u8 {
        match self {
            Algorithm::Ed25519 => 1,
            Algorithm::Cosignature => 4,
        }
    }
}

/// Whether `name` may name a key.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, algorithm: Algorithm, key: &[u8; 32]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), &[b'\n', algorithm.byte()], key]);
    [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
}

/// A public key with its name: what people are given, as a *vkey*, to verify with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key's name; of a log's, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The id that its signatures carry.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.algorithm, self.key.as_bytes())
    }

    /// Reads a vkey.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`]: not a vkey, of a kind that is not known here, or its id is not its own.
    pub fn parse(text: &str) -> Result<VerifierKey, DecodeError> {
        const BAD: DecodeError = DecodeError::Invalid("verifier key");
        let (name, rest) = text.split_once('+').ok_or(BAD)?;
        let (id, key) = rest.split_once('+').ok_or(BAD)?;
        let key = base64::decode(key, "verifier key")?;
        let (algorithm, key) = match key.split_first() {
            Some((1, key)) => (Algorithm::Ed25519, key),
            Some((4, key)) => (Algorithm::Cosignature, key),
            Some(_) => return Err(DecodeError::Invalid("kind of verifier key")),
            None => return Err(BAD),
        };
        let key = VerifyingKey::from_bytes(key.try_into().map_err(|_| BAD)?).map_err(|_| BAD)?;
        let vkey = VerifierKey { name: name.to_owned(), algorithm, key };
        // All at once: the name's form, the id, and that there is one way to write it.
        if is_name(name) && id.len() == 8 && vkey.to_string() == text { Ok(vkey) } else { Err(BAD) }
    }

    /// Checks one signature of `text`. `Some` with the time, in seconds since 1970, that a cosignature states, else 0.
    fn check(&self, text: &str, signature: &[u8]) -> Option<u64> {
        let strictly = |message: &[u8], signature: &[u8]| {
            let signature = Ed25519::from_bytes(signature.try_into().ok()?);
            self.key.verify_strict(message, &signature).ok()
        };
        match self.algorithm {
            Algorithm::Ed25519 => strictly(text.as_bytes(), signature).map(|()| 0),
            Algorithm::Cosignature => {
                let (time, signature) = signature.split_first_chunk()?;
                let time = Some(u64::from_be_bytes(*time)).filter(|time| i64::try_from(*time).is_ok())?;
                strictly(cosigned(time, text).as_bytes(), signature).map(|()| time)
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm.byte()][..], self.key.as_bytes()].concat();
        let [a, b, c, d] = self.id();
        write!(f, "{}+{a:02x}{b:02x}{c:02x}{d:02x}+{}", self.name, base64::encode(&key))
    }
}

fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A secret key with its name.
pub struct Signer {
    name: String,
    key: SigningKey,
}

impl Signer {
    /// The key of that name from its secret. `None`: not a name for a key.
    pub fn new(name: &str, secret: &[u8; 32]) -> Option<Signer> {
        is_name(name).then(|| Signer { name: name.to_owned(), key: SigningKey::from_bytes(secret) })
    }

    /// The public key that goes with it, as a log's or a cosigner's.
    pub fn verifier_key(&self, algorithm: Algorithm) -> VerifierKey {
        VerifierKey { name: self.name.clone(), algorithm, key: self.key.verifying_key() }
    }

    /// Signs as a log does.
    pub fn sign(&self, text: &str) -> Signature {
        let id = self.verifier_key(Algorithm::Ed25519).id();
        Signature { name: self.name.clone(), id, bytes: self.key.sign(text.as_bytes()).to_bytes().to_vec() }
    }
}

/// A line that signs a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The id of the key.
    pub id: [u8; 4],
    /// The signature, whatever its kind.
    pub bytes: Vec<u8>,
}

impl Signature {
    fn decode(line: &str) -> Result<Signature, DecodeError> {
        const BAD: DecodeError = DecodeError::Invalid("signature line");
        let (name, bytes) = line.strip_prefix(DASH).and_then(|rest| rest.split_once(' ')).ok_or(BAD)?;
        let bytes = base64::decode(bytes, "signature line")?;
        let (id, bytes) = bytes.split_first_chunk().filter(|(_, rest)| !rest.is_empty()).ok_or(BAD)?;
        if !is_name(name) {
            return Err(BAD);
        }
        Ok(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DASH}{} {}", self.name, base64::encode(&[&self.id[..], &self.bytes].concat()))
    }
}

/// Why a note is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No line by that key.
    #[error("is not signed with this key")]
    Missing,
    /// A line that claims to be by that key is not.
    #[error("has a forged signature")]
    Forged,
}

/// A text with signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed; ends in a line feed.
    pub text: String,
    /// Who signed, or claims to have.
    pub signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note. Says nothing about whether its signatures hold.
    ///
    /// # Errors
    /// [`DecodeError`]: not in the form of a note.
    pub fn decode(bytes: &[u8]) -> Result<Note, DecodeError> {
        const BAD: DecodeError = DecodeError::Invalid("note");
        if bytes.len() > MOST_BYTES {
            return Err(DecodeError::Trailing(bytes.len() - MOST_BYTES));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| BAD)?;
        if whole.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(BAD);
        }
        let end = whole.rfind("\n\n").ok_or(DecodeError::Truncated)?;
        let (text, lines) = (&whole[..=end], &whole[end + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(DecodeError::Truncated)?;
        if lines.split('\n').count() > MOST_SIGNATURES {
            return Err(DecodeError::Invalid("number of signatures"));
        }
        let signatures = lines.split('\n').map(Signature::decode).collect::<Result<_, _>>()?;
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{}\n", self.text);
        self.signatures.iter().for_each(|signature| out.push_str(&format!("{signature}\n")));
        out.into_bytes()
    }

    /// Checks every signature that claims to be by `key`, of which there must be one. Returns the time that the last one
    /// states, in seconds since 1970; 0 for a key that states none.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, key: &VerifierKey) -> Result<u64, SignatureError> {
        let claims = |signature: &&Signature| signature.name == key.name && signature.id == key.id();
        let mut held = Err(SignatureError::Missing);
        for signature in self.signatures.iter().filter(claims) {
            held = Ok(key.check(&self.text, &signature.bytes).ok_or(SignatureError::Forged)?);
        }
        held
    }
}

/// A size or number in a line of text, in its one form.
pub(crate) fn number(text: &str, what: &'static str) -> Result<u64, DecodeError> {
    decimal(text).ok_or(DecodeError::Invalid(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_example_of_the_specification_holds() {
        let key = VerifierKey::parse(VKEY).unwrap();
        assert_eq!(
            (key.name(), key.id(), key.to_string().as_str()),
            ("example.com/foo", [0x53, 0x0d, 0x90, 0x3a], VKEY)
        );
        let note = Note::decode(NOTE.as_bytes()).unwrap();
        assert_eq!((note.verify(&key), note.encode()), (Ok(0), NOTE.as_bytes().to_vec()));

        let mut other = note.clone();
        other.text = "This is an Example message.\n".to_owned();
        assert_eq!(other.verify(&key), Err(SignatureError::Forged));
        let stranger = Signer::new("example.com/foo", &[1; 32]).unwrap();
        assert_eq!(note.verify(&stranger.verifier_key(Algorithm::Ed25519)), Err(SignatureError::Missing));
        let mut two = note.clone();
        two.signatures.insert(0, Signature { bytes: vec![0; 64], ..note.signatures[0].clone() });
        assert_eq!(two.verify(&key), Err(SignatureError::Forged), "one good line does not excuse a forged one");
    }

    /// Signs as those do whom others ask to watch a log.
    fn cosign(signer: &Signer, text: &str, time: u64) -> Signature {
        let signature = signer.key.sign(cosigned(time, text).as_bytes()).to_bytes();
        let id = signer.verifier_key(Algorithm::Cosignature).id();
        Signature { name: signer.name.clone(), id, bytes: [&time.to_be_bytes()[..], &signature].concat() }
    }

    /// The checkpoint of tlog-cosignature: its lines can be read, whoever made them.
    #[test]
    fn cosignatures_are_read_and_hold_only_for_their_text_and_time() {
        let example = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
            \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
            \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        let note = Note::decode(example.as_bytes()).unwrap();
        assert_eq!(note.encode(), example.as_bytes());
        let time = u64::from_be_bytes(note.signatures[1].bytes[..8].try_into().unwrap());
        assert_eq!((time, note.signatures[1].bytes.len()), (1_679_315_147, 72));

        let cosigner = Signer::new("w1", &[3; 32]).unwrap();
        let key = cosigner.verifier_key(Algorithm::Cosignature);
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key.clone()));
        let mut ours = Note { text: note.text, signatures: vec![cosign(&cosigner, "", 1)] };
        assert_eq!(ours.verify(&key), Err(SignatureError::Forged));
        ours.signatures = vec![cosign(&cosigner, &ours.text, 1_679_315_147)];
        assert_eq!(ours.verify(&key), Ok(1_679_315_147));
        ours.signatures[0].bytes[7] ^= 1;
        assert_eq!(ours.verify(&key), Err(SignatureError::Forged));
        ours.signatures = vec![cosigner.sign(&ours.text)];
        assert_eq!(ours.verify(&key), Err(SignatureError::Missing), "another way to sign has another id");
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let bad = [
            "",
            "\n",
            "\n\n",
            "a\n",
            "a\n\n",
            "a\n\n\n",
            "\u{2014} a AAAA\n",
            "a\n\nb\n",
            "a\n\n\u{2014} b\n",
            "a\n\n\u{2014} b AAAA\n",
            "a\n\n\u{2014} b AAAAAAA\n",
            "a\n\n\u{2014} b+ AAAAAAA=\n",
            "a\n\n\u{2014} b AAAAAAA=",
            "a\r\n\n\u{2014} b AAAAAAA=\n",
            "a\n\n\u{2014} b AAAAAAA=\n\n",
            "a\n\n\u{2014} b\u{3000}c AAAAAAA=\n",
            "a\n\n- b AAAAAAA=\n",
        ];
        bad.iter().for_each(|text| assert!(Note::decode(text.as_bytes()).is_err(), "{text:?}"));
        assert!(Note::decode("\n\n\u{2014} b AAAAAAA=\n".as_bytes()).is_ok(), "an empty line is a text");
        assert!(Note::decode(&[0xff, b'\n', b'\n']).is_err());
        let many = |count: usize| format!("a\n\n{}", "\u{2014} b AAAAAAA=\n".repeat(count));
        assert!(Note::decode(many(MOST_SIGNATURES).as_bytes()).is_ok());
        assert!(Note::decode(many(MOST_SIGNATURES + 1).as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_verifier_key_is_refused() {
        let bad = [
            "",
            "a",
            "a+b",
            "a+b+c",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+Aekyeg==",
            "example.com/foo+530d903a+BukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
        ];
        bad.iter().for_each(|text| assert!(VerifierKey::parse(text).is_err(), "{text:?}"));
    }
}
