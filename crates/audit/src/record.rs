//! A record: one line of the log, canonical CBOR (`docs/format/audit.md`). Names stand in it as commitments.
//!
//! Never knows: the names, or what is before and after it.

use backstay_format::DecodeError;
use backstay_format::units::Timestamp;

use crate::cbor::{Item, Items};
use crate::event::What;
use crate::names::{Commitments, FIELDS};
use crate::tree::Hash;

const VERSION: u64 = 1;

/// Keys of a record's map; 4 to 7 are those of [`FIELDS`].
mod key {
    pub(super) const VERSION: u64 = 0;
    pub(super) const KIND: u64 = 1;
    pub(super) const TIME: u64 = 2;
    pub(super) const WHAT: u64 = 3;
    pub(super) const SUCCESS: u64 = 8;
    pub(super) const REQUEST: u64 = 9;
    pub(super) const BEFORE: u64 = 10;
    pub(super) const AFTER: u64 = 11;
    pub(super) const OF: u64 = 12;
    pub(super) const CLOCK: u64 = 13;
}

/// Which part a record plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something happened.
    Event,
    /// Something is about to be done.
    Intent,
    /// What became of an intent.
    Outcome {
        /// The number of the intent.
        of: u64,
    },
    /// The log is alive.
    Heartbeat,
    /// The log's owner has started.
    Started,
    /// The log's owner has ended as it should.
    Stopped,
}

impl Kind {
    fn number(self) -> u64 {
        match self {
            Kind::Event => 0,
            Kind::Intent => 1,
            Kind::Outcome { .. } => 2,
            Kind::Heartbeat => 3,
            Kind::Started => 4,
            Kind::Stopped => 5,
        }
    }

    fn of_number(number: u64, of: Option<u64>) -> Option<Kind> {
        let kind = match (number, of) {
            (0, None) => Kind::Event,
            (1, None) => Kind::Intent,
            (2, Some(of)) => Kind::Outcome { of },
            (3, None) => Kind::Heartbeat,
            (4, None) => Kind::Started,
            (5, None) => Kind::Stopped,
            _ => return None,
        };
        Some(kind)
    }

    /// Its name, for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Intent => "intent",
            Kind::Outcome { .. } => "outcome",
            Kind::Heartbeat => "heartbeat",
            Kind::Started => "started",
            Kind::Stopped => "stopped",
        }
    }
}

/// Hashes of the configuration: equal where it was only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// As it was.
    pub before: Hash,
    /// As it is.
    pub after: Hash,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which part it plays.
    pub kind: Kind,
    /// When, by the log: never before the record before it.
    pub time: Timestamp,
    /// What the clock said, where that was before the record before it.
    pub clock: Option<Timestamp>,
    /// What was done.
    pub what: What,
    /// Commitments to names.
    pub names: Commitments,
    /// Whether it was done.
    pub success: Option<bool>,
    /// The request that it belongs to.
    pub request: Option<[u8; 16]>,
    /// What became of the configuration.
    pub config: Option<Change>,
}

impl Record {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut rows = vec![
            (key::VERSION, Item::unsigned(VERSION)),
            (key::KIND, Item::unsigned(self.kind.number())),
            (key::TIME, Item::signed(self.time.0)),
            (key::WHAT, Item::text(self.what.as_str())),
        ];
        let names = FIELDS.iter().zip(&self.names);
        rows.extend(names.filter_map(|(field, name)| name.map(|hash| (*field, Item::bytes(&hash.0)))));
        rows.extend(self.success.map(|success| (key::SUCCESS, Item::bool(success))));
        rows.extend(self.request.map(|id| (key::REQUEST, Item::bytes(&id))));
        if let Some(Change { before, after }) = self.config {
            rows.extend([(key::BEFORE, Item::bytes(&before.0)), (key::AFTER, Item::bytes(&after.0))]);
        }
        if let Kind::Outcome { of } = self.kind {
            rows.push((key::OF, Item::unsigned(of)));
        }
        rows.extend(self.clock.map(|clock| (key::CLOCK, Item::signed(clock.0))));
        Item::map(&rows).into_bytes()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`DecodeError`]: any other bytes than [`Record::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut rows = Rows::default();
        let mut items = Items::new(bytes);
        items.map(|key, item| rows.take(key, item))?;
        items.end()?;
        rows.record()
    }
}

/// The rows of a record's map as they are met.
#[derive(Default)]
struct Rows {
    version: Option<u64>,
    kind: Option<u64>,
    time: Option<i64>,
    what: Option<What>,
    names: Commitments,
    success: Option<bool>,
    request: Option<[u8; 16]>,
    before: Option<Hash>,
    after: Option<Hash>,
    of: Option<u64>,
    clock: Option<i64>,
}

impl Rows {
    fn take(&mut self, key: u64, item: &mut Items<'_>) -> Result<(), DecodeError> {
        match key {
            key::VERSION => self.version = Some(item.unsigned()?),
            key::KIND => self.kind = Some(item.unsigned()?),
            key::TIME => self.time = Some(item.signed()?),
            key::WHAT => self.what = Some(What::new(item.text()?).ok_or(DecodeError::Invalid("kind of event"))?),
            key::SUCCESS => self.success = Some(item.bool()?),
            key::REQUEST => self.request = Some(item.array_of("request")?),
            key::BEFORE => self.before = Some(Hash(item.array_of("hash of the configuration")?)),
            key::AFTER => self.after = Some(Hash(item.array_of("hash of the configuration")?)),
            key::OF => self.of = Some(item.unsigned()?),
            key::CLOCK => self.clock = Some(item.signed()?),
            other => {
                let field = FIELDS.iter().position(|field| *field == other);
                let field = field.ok_or(DecodeError::Invalid("key of a record"))?;
                self.names[field] = Some(Hash(item.array_of("commitment")?));
            }
        }
        Ok(())
    }

    fn record(self) -> Result<Record, DecodeError> {
        match self.version {
            Some(VERSION) => {}
            Some(found) => {
                let found = u32::try_from(found).unwrap_or(u32::MAX);
                return Err(DecodeError::Version { what: "record", found, newest: VERSION as u32 });
            }
            None => return Err(DecodeError::Invalid("record without a version")),
        }
        let kind = self.kind.and_then(|number| Kind::of_number(number, self.of));
        let kind = kind.ok_or(DecodeError::Invalid("part that a record plays"))?;
        let config = match (self.before, self.after) {
            (None, None) => None,
            (Some(before), Some(after)) => Some(Change { before, after }),
            _ => return Err(DecodeError::Invalid("half of a change")),
        };
        let outcome = matches!(kind, Kind::Outcome { .. });
        if outcome && self.success.is_none() || kind == Kind::Intent && self.success.is_some() {
            return Err(DecodeError::Invalid("success of a record"));
        }
        Ok(Record {
            kind,
            time: Timestamp(self.time.ok_or(DecodeError::Invalid("record without a time"))?),
            clock: self.clock.map(Timestamp),
            what: self.what.ok_or(DecodeError::Invalid("record that says nothing"))?,
            names: self.names,
            success: self.success,
            request: self.request,
            config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            kind: Kind::Outcome { of: 300 },
            time: Timestamp(1_795_305_600_000_000_000),
            clock: Some(Timestamp(-2)),
            what: What::new("restore.read").unwrap(),
            names: [Some(Hash([4; 32])), None, Some(Hash([6; 32])), None],
            success: Some(true),
            request: Some([9; 16]),
            config: Some(Change { before: Hash([10; 32]), after: Hash([11; 32]) }),
        }
    }

    #[test]
    fn golden_record() {
        let bytes = record().encode();
        let mut golden = vec![0xac, 0x00, 0x01, 0x01, 0x02, 0x02, 0x1b, 0x18, 0xea, 0x34, 0xee, 0x67, 0x45, 0x00, 0x00];
        golden.extend_from_slice(&[0x03, 0x6c]);
        golden.extend_from_slice(b"restore.read");
        for (key, value) in [(4, 4), (6, 6)] {
            golden.extend_from_slice(&[key, 0x58, 32]);
            golden.extend_from_slice(&[value; 32]);
        }
        golden.extend_from_slice(&[0x08, 0xf5, 0x09, 0x50]);
        golden.extend_from_slice(&[9; 16]);
        for (key, value) in [(10, 10), (11, 11)] {
            golden.extend_from_slice(&[key, 0x58, 32]);
            golden.extend_from_slice(&[value; 32]);
        }
        golden.extend_from_slice(&[0x0c, 0x19, 0x01, 0x2c, 0x0d, 0x21]);
        assert_eq!(bytes, golden);
        assert_eq!(Record::decode(&golden), Ok(record()));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let bytes = record().encode();
        (0..bytes.len()).for_each(|end| assert!(Record::decode(&bytes[..end]).is_err()));
        assert!(Record::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
        let rows = |rows: &[(u64, Item)]| Record::decode(&Item::map(rows).into_bytes());
        let least = [(0, Item::unsigned(1)), (1, Item::unsigned(0)), (2, Item::signed(0)), (3, Item::text("x"))];
        assert!(rows(&least).is_ok());
        (0..4).for_each(|gone| {
            let mut some = least.to_vec();
            some.remove(gone);
            assert!(rows(&some).is_err());
        });
        let with = |more: (u64, Item)| rows(&[least.as_slice(), &[more]].concat());
        assert!(with((8, Item::bool(true))).is_ok());
        assert!(with((10, Item::bytes(&[0; 32]))).is_err(), "half of a change");
        assert!(with((12, Item::unsigned(0))).is_err(), "only an outcome is one of something");
        assert!(with((14, Item::unsigned(0))).is_err(), "nothing is ignored");
        let version = [(0, Item::unsigned(2)), least[1].clone(), least[2].clone(), least[3].clone()];
        assert_eq!(rows(&version), Err(DecodeError::Version { what: "record", found: 2, newest: 1 }));
    }
}
