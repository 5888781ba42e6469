//! One connection: reads, and what is known of ranges without reading them.
//!
//! Invariant: a read is answered with each byte exactly once, or it is no answer.
//! Never knows: when, or why.

use std::io::{Read, Write};

use super::NbdError;
use super::handshake::{Agreed, agree};
use super::wire::*;

/// Descriptors that one answer may have: 4 MiB of them.
const MOST_EXTENTS: u32 = 512 << 10;
/// Chunks that one answer may have beside one a sector.
const MOST_CHUNKS: u32 = 64;
/// Words in an error.
const MOST_WORDS: u32 = 16 << 10;

/// What a context says of a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes; never 0.
    pub len: u64,
    /// The context's flags.
    pub flags: u32,
}

/// A connection to one export.
#[derive(Debug)]
pub struct Client<S: Read + Write> {
    stream: S,
    agreed: Agreed,
    cookie: u64,
}

/// What comes before each part of an answer.
struct Header {
    done: bool,
    kind: u16,
    len: u32,
}

impl<S: Read + Write> Client<S> {
    /// Agrees on an export, and on contexts to ask for.
    ///
    /// # Errors
    /// [`NbdError`].
    pub fn begin(mut stream: S, export: &str, contexts: &[&str]) -> Result<Client<S>, NbdError> {
        let agreed = agree(&mut stream, export, contexts)?;
        Ok(Client { stream, agreed, cookie: 0 })
    }

    /// Bytes of the export.
    pub fn size(&self) -> u64 {
        self.agreed.size
    }

    /// Whether a context, by its place among those asked for, can be asked.
    pub fn has_context(&self, context: usize) -> bool {
        self.agreed.contexts.get(context).copied().flatten().is_some()
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// [`NbdError::Said`]: the connection is good for more; any other: it is not.
    pub fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), NbdError> {
        let most = self.agreed.payload as usize;
        let mut at = offset;
        for part in buf.chunks_mut(most) {
            self.read_part(at, part)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn read_part(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), NbdError> {
        self.request(CMD_READ, offset, buf.len() as u32)?;
        let (mut filled, mut error) = (Filled::default(), None);
        let most = buf.len() as u32 / 512 + MOST_CHUNKS;
        for _ in 0..most {
            let header = self.header()?;
            match header.kind {
                CHUNK_DATA | CHUNK_HOLE => {
                    let at = self.stream.u64()?.wrapping_sub(offset);
                    let len = match header.kind {
                        CHUNK_DATA => header.len.checked_sub(8).ok_or(NbdError::Protocol("data without a place"))?,
                        _ if header.len == 12 => self.stream.u32()?,
                        _ => return Err(NbdError::Protocol("a hole of an odd form")),
                    };
                    filled.add(at, u64::from(len), buf.len() as u64)?;
                    let part = &mut buf[at as usize..][..len as usize];
                    match header.kind {
                        CHUNK_DATA => self.stream.read_exact(part)?,
                        _ => part.fill(0),
                    }
                }
                _ => error = self.other(&header)?.or(error),
            }
            if header.done {
                return match error {
                    Some(error) => Err(NbdError::Said(error)),
                    None if filled.is_whole(buf.len() as u64) => Ok(()),
                    None => Err(NbdError::Protocol("a read that leaves bytes out")),
                };
            }
        }
        Err(NbdError::Protocol("an answer without end"))
    }

    /// What a context says of `[offset, offset + len)`, or of its beginning.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn status(&mut self, context: usize, offset: u64, len: u32) -> Result<Vec<Extent>, NbdError> {
        let number = self.agreed.contexts.get(context).copied().flatten();
        let number = number.ok_or(NbdError::Declined("the context is not known there"))?;
        self.request(CMD_STATUS, offset, len)?;
        let (mut found, mut error) = (None, None);
        for _ in 0..MOST_CHUNKS {
            let header = self.header()?;
            match header.kind {
                CHUNK_STATUS => {
                    let (of, extents) = self.extents(header.len)?;
                    if of == number {
                        found = Some(extents);
                    }
                }
                _ => error = self.other(&header)?.or(error),
            }
            if header.done {
                if let Some(error) = error {
                    return Err(NbdError::Said(error));
                }
                return within(found.unwrap_or_default(), u64::from(len));
            }
        }
        Err(NbdError::Protocol("an answer without end"))
    }

    fn extents(&mut self, len: u32) -> Result<(u32, Vec<Extent>), NbdError> {
        let count = len.checked_sub(4).filter(|rest| rest % 8 == 0).map(|rest| rest / 8);
        let Some(count) = count.filter(|count| (1..=MOST_EXTENTS).contains(count)) else {
            return Err(NbdError::Protocol("a list of ranges of an odd length"));
        };
        let number = self.stream.u32()?;
        let bytes = self.stream.some(count as usize * 8)?;
        let extents = bytes.chunks_exact(8).map(|mut one| -> Result<Extent, NbdError> {
            Ok(Extent { len: u64::from(one.u32()?), flags: one.u32()? })
        });
        Ok((number, extents.collect::<Result<_, _>>()?))
    }

    /// What is neither data nor a list: nothing, or an error.
    fn other(&mut self, header: &Header) -> Result<Option<u32>, NbdError> {
        match header.kind {
            CHUNK_NONE if header.len == 0 && header.done => Ok(None),
            kind if kind & CHUNK_ERROR != 0 && (6..=MOST_WORDS).contains(&header.len) => {
                let error = self.stream.u32()?;
                self.stream.skip(header.len - 4)?;
                Ok(Some(error))
            }
            _ => Err(NbdError::Protocol("a chunk of an unknown kind")),
        }
    }

    fn request(&mut self, command: u16, offset: u64, len: u32) -> Result<(), NbdError> {
        self.cookie += 1;
        let mut out = REQUEST.to_be_bytes().to_vec();
        out.extend_from_slice(&0u16.to_be_bytes());
        out.extend_from_slice(&command.to_be_bytes());
        out.extend_from_slice(&self.cookie.to_be_bytes());
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        Ok(self.stream.write_all(&out)?)
    }

    fn header(&mut self) -> Result<Header, NbdError> {
        let (kind, done, len) = match self.stream.u32()? {
            STRUCTURED => {
                let (flags, kind) = (self.stream.u16()?, self.stream.u16()?);
                self.same_cookie()?;
                (kind, flags & DONE != 0, self.stream.u32()?)
            }
            // Only errors may come like this.
            SIMPLE => {
                let error = self.stream.u32()?;
                self.same_cookie()?;
                return Err(if error == 0 { NbdError::Protocol("a simple reply") } else { NbdError::Said(error) });
            }
            _ => return Err(NbdError::Protocol("no reply where one must be")),
        };
        Ok(Header { done, kind, len })
    }

    fn same_cookie(&mut self) -> Result<(), NbdError> {
        match self.stream.u64()? == self.cookie {
            true => Ok(()),
            false => Err(NbdError::Protocol("a reply to something else")),
        }
    }

    /// Says farewell; nothing is lost if that is not heard.
    pub fn end(mut self) {
        self.cookie += 1;
        drop(self.request(CMD_DISCONNECT, 0, 0));
    }
}

/// Which bytes of a read came already. Servers send them in order, mostly.
#[derive(Default)]
struct Filled(std::collections::BTreeMap<u64, u64>);

impl Filled {
    fn add(&mut self, at: u64, len: u64, whole: u64) -> Result<(), NbdError> {
        let end = at.checked_add(len).filter(|end| len > 0 && *end <= whole);
        let end = end.ok_or(NbdError::Protocol("bytes from outside of what was asked for"))?;
        let before = self.0.range(..end).next_back().map(|(start, end)| (*start, *end));
        match before {
            Some((_, before)) if before > at => Err(NbdError::Protocol("the same bytes twice")),
            Some((start, before)) if before == at => {
                self.0.insert(start, end);
                Ok(())
            }
            _ => {
                self.0.insert(at, end);
                Ok(())
            }
        }
    }

    fn is_whole(&self, whole: u64) -> bool {
        let mut at = 0;
        whole == 0 || self.0.iter().all(|(start, end)| *start == std::mem::replace(&mut at, *end)) && at == whole
    }
}

/// The last extent may reach past what was asked for.
fn within(mut extents: Vec<Extent>, len: u64) -> Result<Vec<Extent>, NbdError> {
    let mut left = len;
    for extent in &mut extents {
        extent.len = extent.len.min(left);
        left -= extent.len;
        if extent.len == 0 {
            return Err(NbdError::Protocol("a range of nothing"));
        }
    }
    match extents.is_empty() {
        true => Err(NbdError::Protocol("nothing is said of the range")),
        false => Ok(extents),
    }
}
