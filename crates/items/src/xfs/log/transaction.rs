//! Operations of the log's records put together to transactions, which count only when committed.
//!
//! Never knows: what an item changes.

use std::collections::HashMap;

use super::area::Record;
use crate::tree::TreeError;
use crate::xfs::bytes::damaged;

const OPERATION: usize = 12;
const TRANSACTION_HEADER: usize = 16;
const TRANSACTION_MAGIC: u32 = 0x5452_414e;
const CLIENT_TRANSACTION: u8 = 0x69;
const CLIENT_LOG: u8 = 0xaa;

const START: u8 = 0x01;
const COMMIT: u8 = 0x02;
const CONTINUES: u8 = 0x04;
const CONTINUED: u8 = 0x08;
const END: u8 = 0x10;
const UNMOUNT: u8 = 0x20;

/// One thing that a transaction changes: a description, then the bytes it speaks of.
pub(super) struct Item {
    /// How many regions there are to be.
    total: u16,
    regions: Vec<Vec<u8>>,
}

impl Item {
    #[cfg(test)]
    pub(super) fn of_one_region(region: Vec<u8>) -> Item {
        Item { total: 1, regions: vec![region] }
    }

    /// The number that says what kind of item this is.
    pub(super) fn kind(&self) -> u16 {
        le16(self.region(0), 0).unwrap_or(0)
    }

    /// A region; empty when there is none.
    pub(super) fn region(&self, index: usize) -> &[u8] {
        self.regions.get(index).map_or(&[], Vec::as_slice)
    }

    /// How many regions there are.
    pub(super) fn regions(&self) -> usize {
        self.regions.len()
    }
}

/// A committed transaction.
#[derive(Default)]
pub(super) struct Transaction {
    /// Where it began.
    pub(super) lsn: u64,
    header: Vec<u8>,
    pub(super) items: Vec<Item>,
}

/// Transactions that were begun and not yet committed.
#[derive(Default)]
pub(super) struct Assembly {
    open: HashMap<u32, Transaction>,
}

pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

pub(super) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

impl Assembly {
    /// Takes the next record; gives the transactions that it commits, in order.
    ///
    /// # Errors
    /// `Damaged`.
    pub(super) fn feed(&mut self, record: &Record) -> Result<Vec<Transaction>, TreeError> {
        let mut done = Vec::new();
        let mut rest = record.data.as_slice();
        for _ in 0..record.operations {
            let Some((head, after)) = rest.split_first_chunk::<OPERATION>() else {
                break;
            };
            let (id, len) = ([head[0], head[1], head[2], head[3]], [head[4], head[5], head[6], head[7]]);
            let (id, len) = (u32::from_be_bytes(id), u32::from_be_bytes(len) as usize);
            let data = after.get(..len).ok_or_else(|| damaged("log: an operation runs out of its record"))?;
            if !matches!(head[8], CLIENT_TRANSACTION | CLIENT_LOG) {
                return Err(damaged(format!("log: an operation of unknown origin {:#x}", head[8])));
            }
            done.extend(self.operation(record.lsn, id, head[9], data)?);
            rest = &after[len..];
        }
        Ok(done)
    }

    fn operation(&mut self, lsn: u64, id: u32, flags: u8, data: &[u8]) -> Result<Option<Transaction>, TreeError> {
        let Some(open) = self.open.get_mut(&id) else {
            // What was begun before the tail is long written back.
            if flags & START != 0 {
                self.open.insert(id, Transaction { lsn, ..Transaction::default() });
            }
            return Ok(None);
        };
        let mut flags = flags & !END;
        if flags & CONTINUED != 0 {
            flags &= !CONTINUES;
        }
        match flags {
            0 | CONTINUES => open.region(data)?,
            CONTINUED => open.continue_region(data)?,
            COMMIT => return Ok(self.open.remove(&id)),
            UNMOUNT => drop(self.open.remove(&id)),
            other => {
                return Err(damaged(format!("log: an operation with impossible flags {other:#x}")));
            }
        }
        Ok(None)
    }
}

impl Transaction {
    /// The first region is the transaction's own header; the rest fill one item after the other.
    fn region(&mut self, data: &[u8]) -> Result<(), TreeError> {
        if data.is_empty() {
            return Ok(());
        }
        if self.header.is_empty() {
            self.header = data.to_vec();
            return self.check_header();
        }
        match self.items.last_mut() {
            Some(item) if item.regions.len() < usize::from(item.total) => item.regions.push(data.to_vec()),
            _ => {
                let total = le16(data, 2).filter(|total| *total > 0);
                let total = total.ok_or_else(|| damaged("log: an item without regions"))?;
                self.items.push(Item { total, regions: vec![data.to_vec()] });
            }
        }
        Ok(())
    }

    fn continue_region(&mut self, data: &[u8]) -> Result<(), TreeError> {
        match self.items.last_mut().and_then(|item| item.regions.last_mut()) {
            Some(region) => region.extend_from_slice(data),
            None => {
                self.header.extend_from_slice(data);
                self.check_header()?;
            }
        }
        Ok(())
    }

    fn check_header(&self) -> Result<(), TreeError> {
        let whole = self.header.len() <= TRANSACTION_HEADER;
        match le32(&self.header, 0) {
            Some(TRANSACTION_MAGIC) if whole => Ok(()),
            None if whole => Ok(()), // split over two records
            _ => Err(damaged("log: a transaction without its header")),
        }
    }

    /// Refuses a transaction whose items lack regions.
    ///
    /// # Errors
    /// `Damaged`.
    pub(super) fn check(&self) -> Result<(), TreeError> {
        match self.items.iter().all(|item| item.regions.len() == usize::from(item.total)) {
            true => Ok(()),
            false => Err(damaged("log: an item without all its regions")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(id: u32, flags: u8, data: &[u8]) -> Vec<u8> {
        let mut out = id.to_be_bytes().to_vec();
        out.extend((data.len() as u32).to_be_bytes());
        out.extend([CLIENT_TRANSACTION, flags, 0, 0]);
        out.extend(data);
        out
    }

    fn record(lsn: u64, operations: &[Vec<u8>]) -> Record {
        Record { lsn, operations: operations.len() as u32, data: operations.concat() }
    }

    #[test]
    fn transactions_interleave_and_span_records() {
        let mut header = TRANSACTION_MAGIC.to_le_bytes().to_vec();
        header.resize(TRANSACTION_HEADER, 0);
        let item = [0x3c, 0x12, 2, 0, 9, 9];
        let mut assembly = Assembly::default();
        let first = [
            operation(9, 0, b"begun before the tail"),
            operation(1, START, b""),
            operation(1, 0, &header),
            operation(2, START, b""),
            operation(1, 0, &item),
            operation(1, CONTINUES, b"half"),
        ];
        assert!(assembly.feed(&record(5, &first)).unwrap().is_empty());
        let second = [
            operation(1, CONTINUED | END, b" and half"),
            operation(2, 0, &header[..3]),
            operation(1, COMMIT, b""),
            operation(9, COMMIT, b""),
        ];
        let done = assembly.feed(&record(6, &second)).unwrap();
        assert_eq!((done.len(), done[0].lsn, done[0].items.len()), (1, 5, 1));
        assert_eq!(done[0].items[0].kind(), 0x123c);
        assert_eq!(done[0].items[0].region(1), b"half and half");
        done[0].check().unwrap();
        let third = [operation(2, CONTINUED, &header[3..]), operation(2, COMMIT, b"")];
        assert_eq!(assembly.feed(&record(7, &third)).unwrap().len(), 1);
    }

    #[test]
    fn operations_that_cannot_be_are_refused() {
        let cases = [
            vec![operation(1, START, b""), operation(1, 0, b"no header, but this")],
            vec![operation(1, START, b""), operation(1, START, b"")],
        ];
        for case in cases {
            assert!(Assembly::default().feed(&record(1, &case)).is_err());
        }
        let mut short = record(1, &[operation(1, START, b"")]);
        short.data[7] = 1;
        assert!(Assembly::default().feed(&short).is_err());
    }
}
