//! Numbers and fields of the protocol.
//!
//! Never knows: what they are for.

use std::io::{self, Read};

pub(super) const INIT: u64 = 0x4e42_444d_4147_4943;
pub(super) const OPTION: u64 = 0x4948_4156_454f_5054;
pub(super) const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
pub(super) const REQUEST: u32 = 0x2560_9513;
pub(super) const SIMPLE: u32 = 0x6744_6698;
pub(super) const STRUCTURED: u32 = 0x668e_33ef;

pub(super) const FIXED_NEWSTYLE: u16 = 1;
pub(super) const NO_ZEROES: u16 = 2;

pub(super) const OPT_GO: u32 = 7;
pub(super) const OPT_STRUCTURED: u32 = 8;
pub(super) const OPT_SET_CONTEXT: u32 = 10;

pub(super) const REP_ACK: u32 = 1;
pub(super) const REP_INFO: u32 = 3;
pub(super) const REP_CONTEXT: u32 = 4;
/// Replies with this bit are errors.
pub(super) const REP_ERROR: u32 = 1 << 31;

pub(super) const INFO_EXPORT: u16 = 0;
pub(super) const INFO_BLOCK_SIZE: u16 = 3;

pub(super) const CMD_READ: u16 = 0;
pub(super) const CMD_DISCONNECT: u16 = 2;
pub(super) const CMD_STATUS: u16 = 7;

/// Nothing follows after this chunk.
pub(super) const DONE: u16 = 1;
pub(super) const CHUNK_NONE: u16 = 0;
pub(super) const CHUNK_DATA: u16 = 1;
pub(super) const CHUNK_HOLE: u16 = 2;
pub(super) const CHUNK_STATUS: u16 = 5;
/// Chunks with this bit are errors.
pub(super) const CHUNK_ERROR: u16 = 1 << 15;

/// Takes numbers from a stream.
pub(super) trait Take: Read {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u16(&mut self) -> io::Result<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    /// Bytes of a length that was checked.
    fn some(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads bytes nobody needs.
    fn skip(&mut self, mut len: u32) -> io::Result<()> {
        let mut sink = [0; 4096];
        while len > 0 {
            let now = sink.len().min(len as usize);
            self.read_exact(&mut sink[..now])?;
            len -= now as u32;
        }
        Ok(())
    }
}

impl<R: Read> Take for R {}
