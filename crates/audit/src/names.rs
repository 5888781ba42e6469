//! Names in the log: who, to what, from where, and details. A record holds a salted hash of each, so that the log stays whole
//! when names expire; the names and salts lie sealed beside it.
//!
//! Never knows: where sealed names are kept, or when they expire.

use backstay_format::DecodeError;
use backstay_seal::{OpenError, Secret, boxes};

use crate::cbor::{Item, Items};
use crate::tree::{Hash, sha256};

/// Keys of the names, in records and in what is sealed: user, from, object, detail.
pub(crate) const FIELDS: [u64; 4] = [4, 5, 6, 7];

/// Commitments to the names of a record, in the order of user, from, object, detail.
pub type Commitments = [Option<Hash>; 4];

/// The names of an event. Empty ones are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Who did it.
    pub user: String,
    /// From where.
    pub from: String,
    /// To what.
    pub object: String,
    /// More about it.
    pub detail: String,
}

/// Names with the salts that hide them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salted {
    names: Names,
    salts: [[u8; 16]; 4],
}

impl Names {
    fn fields(&self) -> [&str; 4] {
        [&self.user, &self.from, &self.object, &self.detail]
    }

    fn field_mut(&mut self, at: usize) -> &mut String {
        [&mut self.user, &mut self.from, &mut self.object, &mut self.detail][at]
    }

    /// Adds salts, which nobody can guess.
    pub fn salted(self, salts: [[u8; 16]; 4]) -> Salted {
        Salted { names: self, salts }
    }
}

impl Salted {
    /// The names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What a record says of them.
    pub fn commitments(&self) -> Commitments {
        let fields = self.names.fields();
        std::array::from_fn(|at| {
            let hash =
                || sha256(&[b"backstay audit name 1", &[FIELDS[at] as u8], &self.salts[at], fields[at].as_bytes()]);
            (!fields[at].is_empty()).then(hash)
        })
    }

    /// Its bytes, to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let rows = FIELDS.iter().zip(self.names.fields()).zip(&self.salts);
        let rows = rows.filter(|((_, name), _)| !name.is_empty());
        let row = |((field, name), salt): ((&u64, &str), &[u8; 16])| {
            (*field, Item::array(&[Item::bytes(salt), Item::text(name)]))
        };
        Item::map(&rows.map(row).collect::<Vec<_>>()).into_bytes()
    }

    /// Reads what was sealed.
    ///
    /// # Errors
    /// [`DecodeError`]: any other bytes than [`Salted::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Salted, DecodeError> {
        let mut salted = Names::default().salted(Default::default());
        let mut items = Items::new(bytes);
        items.map(|key, item| {
            let at = FIELDS.iter().position(|field| *field == key).ok_or(DecodeError::Invalid("key of a name"))?;
            item.array(2)?;
            salted.salts[at] = item.array_of("salt")?;
            item.text()?.clone_into(salted.names.field_mut(at));
            if salted.names.fields()[at].is_empty() { Err(DecodeError::Invalid("name")) } else { Ok(()) }
        })?;
        items.end()?;
        Ok(salted)
    }

    /// Seals them for record `index` of the log `origin`.
    pub fn seal(&self, key: &Secret, salt: boxes::Salt, origin: &str, index: u64) -> Vec<u8> {
        boxes::seal(key, salt, &place(origin, index), &self.encode())
    }

    /// Opens what was sealed for record `index` of the log `origin`.
    ///
    /// # Errors
    /// [`OpenError::Seal`]: damaged, moved, or another key's.
    pub fn open(key: &Secret, origin: &str, index: u64, sealed: &[u8]) -> Result<Salted, OpenError> {
        let plain = boxes::open(key, &place(origin, index), sealed)?;
        Salted::decode(&plain).map_err(|_| OpenError::Seal)
    }
}

fn place(origin: &str, index: u64) -> Vec<u8> {
    [b"backstay audit names 1", &index.to_le_bytes()[..], origin.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salted() -> Salted {
        let names = Names { user: "ann".to_owned(), object: "web".to_owned(), ..Names::default() };
        names.salted([[1; 16], [2; 16], [3; 16], [4; 16]])
    }

    #[test]
    fn golden_names() {
        let mut golden = vec![0xa2, 0x04, 0x82, 0x50];
        golden.extend_from_slice(&[1; 16]);
        golden.extend_from_slice(&[0x63, b'a', b'n', b'n', 0x06, 0x82, 0x50]);
        golden.extend_from_slice(&[3; 16]);
        golden.extend_from_slice(&[0x63, b'w', b'e', b'b']);
        assert_eq!(salted().encode(), golden);
        let read = Salted::decode(&golden).unwrap();
        assert_eq!((read.names(), read.commitments()), (salted().names(), salted().commitments()));
        (0..golden.len()).for_each(|end| assert!(Salted::decode(&golden[..end]).is_err()));

        let message = [&b"backstay audit name 1\x04"[..], &[1; 16], b"ann"].concat();
        assert_eq!(salted().commitments(), [Some(sha256(&[&message])), None, salted().commitments()[2], None]);
    }

    #[test]
    fn a_commitment_hides_and_binds() {
        let again = salted().names().clone().salted([[5; 16]; 4]);
        assert_ne!(again.commitments(), salted().commitments(), "the same name, another salt");
        let user = Names { user: "x".to_owned(), ..Names::default() }.salted([[1; 16]; 4]).commitments();
        let object = Names { object: "x".to_owned(), ..Names::default() }.salted([[1; 16]; 4]).commitments();
        assert_ne!(user[0], object[2], "a name cannot be moved to another field");
    }

    #[test]
    fn sealed_names_open_where_they_belong() {
        let key = Secret([1; 32]);
        let sealed = salted().seal(&key, [7; 16], "log.example", 3);
        let open = |key: &Secret, origin, index| Salted::open(key, origin, index, &sealed);
        assert_eq!(open(&key, "log.example", 3).unwrap().names(), salted().names());
        assert_eq!(open(&key, "log.example", 4), Err(OpenError::Seal));
        assert_eq!(open(&key, "log.other", 3), Err(OpenError::Seal));
        assert_eq!(open(&Secret([2; 32]), "log.example", 3), Err(OpenError::Seal));
    }
}
