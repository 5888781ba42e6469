//! The protocol's numbers, and reading big-endian integers from untrusted bytes.
//!
//! Never knows: what a number leads to.

/// First half of the server's greeting.
pub(super) const GREETING: u64 = 0x4e42_444d_4147_4943; // "NBDMAGIC"
/// Second half of the greeting, and the start of every option.
pub(super) const OPTION: u64 = 0x4948_4156_454f_5054; // "IHAVEOPT"
/// Starts every reply to an option.
pub(super) const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// Starts every request.
pub(super) const REQUEST: u32 = 0x2560_9513;
/// Starts a simple reply.
pub(super) const SIMPLE_REPLY: u32 = 0x6744_6698;
/// Starts a chunk of a structured reply.
pub(super) const CHUNK: u32 = 0x668e_33ef;

/// Bytes of an option's header: magic, option, length.
pub(super) const OPTION_HEADER: usize = 16;
/// Bytes of a request's header.
pub(super) const REQUEST_HEADER: usize = 28;
/// Bytes of a chunk's header.
pub(super) const CHUNK_HEADER: usize = 20;

/// Longest name or other string the protocol allows, in bytes.
pub(super) const MAX_STRING: usize = 4096;
/// Longest option that is looked at, in bytes; a longer one is skipped and refused.
pub(super) const MAX_OPTION: u32 = 64 << 10;
/// Longest option that is skipped, in bytes; a longer one ends the connection.
pub(super) const MAX_SKIPPED_OPTION: u32 = 32 << 20;
/// Longest read or payload, in bytes.
pub(super) const MAX_PAYLOAD: u32 = 32 << 20;

/// Flags of the handshake, server and client alike.
pub(super) const FIXED_NEWSTYLE: u16 = 1;
pub(super) const NO_ZEROES: u16 = 1 << 1;

/// What a client may ask for before the data flows.
pub(super) mod option {
    pub(in crate::nbd) const EXPORT_NAME: u32 = 1;
    pub(in crate::nbd) const ABORT: u32 = 2;
    pub(in crate::nbd) const LIST: u32 = 3;
    pub(in crate::nbd) const INFO: u32 = 6;
    pub(in crate::nbd) const GO: u32 = 7;
    pub(in crate::nbd) const STRUCTURED_REPLY: u32 = 8;
    pub(in crate::nbd) const LIST_META_CONTEXT: u32 = 9;
    pub(in crate::nbd) const SET_META_CONTEXT: u32 = 10;
}

/// Kinds of reply to an option.
pub(super) mod answer {
    pub(in crate::nbd) const ACK: u32 = 1;
    pub(in crate::nbd) const SERVER: u32 = 2;
    pub(in crate::nbd) const INFO: u32 = 3;
    pub(in crate::nbd) const META_CONTEXT: u32 = 4;
    const ERROR: u32 = 1 << 31;
    pub(in crate::nbd) const ERR_UNSUP: u32 = ERROR | 1;
    pub(in crate::nbd) const ERR_INVALID: u32 = ERROR | 3;
    pub(in crate::nbd) const ERR_UNKNOWN: u32 = ERROR | 6;
    pub(in crate::nbd) const ERR_TOO_BIG: u32 = ERROR | 9;
}

/// Kinds of information on an export.
pub(super) mod info {
    pub(in crate::nbd) const EXPORT: u16 = 0;
    pub(in crate::nbd) const NAME: u16 = 1;
    pub(in crate::nbd) const DESCRIPTION: u16 = 2;
    pub(in crate::nbd) const BLOCK_SIZE: u16 = 3;
}

/// Flags of an export.
pub(super) mod transmission {
    pub(in crate::nbd) const HAS_FLAGS: u16 = 1;
    pub(in crate::nbd) const READ_ONLY: u16 = 1 << 1;
    pub(in crate::nbd) const SEND_FLUSH: u16 = 1 << 2;
    pub(in crate::nbd) const SEND_DF: u16 = 1 << 7;
    pub(in crate::nbd) const CAN_MULTI_CONN: u16 = 1 << 8;
    pub(in crate::nbd) const SEND_CACHE: u16 = 1 << 10;
}

/// Requests.
pub(super) mod command {
    pub(in crate::nbd) const READ: u16 = 0;
    pub(in crate::nbd) const WRITE: u16 = 1;
    pub(in crate::nbd) const DISC: u16 = 2;
    pub(in crate::nbd) const FLUSH: u16 = 3;
    pub(in crate::nbd) const TRIM: u16 = 4;
    pub(in crate::nbd) const CACHE: u16 = 5;
    pub(in crate::nbd) const WRITE_ZEROES: u16 = 6;
    pub(in crate::nbd) const BLOCK_STATUS: u16 = 7;
}

/// Flags of a request; those for zeroing are not here, because zeroing is refused whatever its flags.
pub(super) mod flag {
    pub(in crate::nbd) const FUA: u16 = 1;
    pub(in crate::nbd) const DF: u16 = 1 << 2;
    pub(in crate::nbd) const REQ_ONE: u16 = 1 << 3;
}

/// Chunks of a structured reply.
pub(super) mod chunk {
    pub(in crate::nbd) const DONE: u16 = 1;
    pub(in crate::nbd) const NONE: u16 = 0;
    pub(in crate::nbd) const OFFSET_DATA: u16 = 1;
    pub(in crate::nbd) const OFFSET_HOLE: u16 = 2;
    pub(in crate::nbd) const BLOCK_STATUS: u16 = 5;
    const ERROR: u16 = 1 << 15;
    pub(in crate::nbd) const ERROR_PLAIN: u16 = ERROR | 1;
    pub(in crate::nbd) const ERROR_OFFSET: u16 = ERROR | 2;
}

/// The one metadata context: which bytes are holes.
pub(super) const BASE_ALLOCATION: &[u8] = b"base:allocation";
/// Our number for it.
pub(super) const BASE_ALLOCATION_ID: u32 = 1;
/// Status of bytes that take no space, and read as zeros.
pub(super) const STATE_HOLE_ZERO: u32 = 0b11;

/// Errors in replies to requests, numbered as the protocol does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum NbdError {
    NotPermitted = 1,
    Io = 5,
    Invalid = 22,
    ShuttingDown = 108,
}

pub(super) fn take_u16(input: &mut &[u8]) -> Option<u16> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u16::from_be_bytes(*head))
}

pub(super) fn take_u32(input: &mut &[u8]) -> Option<u32> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u32::from_be_bytes(*head))
}

pub(super) fn take_u64(input: &mut &[u8]) -> Option<u64> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u64::from_be_bytes(*head))
}

/// A string with its length before it; `None` if it is cut short or longer than the protocol allows.
pub(super) fn take_string<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_u32(input)?).ok().filter(|&len| len <= MAX_STRING)?;
    let (head, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(head)
}
